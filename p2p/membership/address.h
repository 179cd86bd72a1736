// `host:port` as people write it: a name, an IPv4 address, or an IPv6 address in brackets.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::p2p {

/// A port is needed. Errors: kInvalid, with what would be right.
Result<> check_address(std::string_view text);
/// Brackets are added to an IPv6 address.
std::string join_address(std::string_view host, std::uint16_t port);

}  // namespace oxbow::p2p

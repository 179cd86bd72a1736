// A token service's answer (distribution, "token authentication specification"), and where one may be asked for.
// Thread rule: pure functions.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::mirror::upstream {

struct Token {
  std::string value;
  std::chrono::seconds lifetime{60};
};

/// `token` or `access_token`; `expires_in` is 60 s when missing or less, at most a day. Errors: kUnavailable for JSON
/// that is none, for a missing token and for one that cannot stand in a header.
Result<Token> parse_token(std::string_view json);

/// A challenge's realm that secrets may be sent to: an absolute URL without user, and https unless the registry itself
/// is plain http. The host may differ from the registry's: Docker Hub's and others' do, and the challenge came over the
/// registry's own authenticated connection. Errors: kDenied.
Result<> check_realm(std::string_view realm, bool registry_is_https);

}  // namespace oxbow::mirror::upstream

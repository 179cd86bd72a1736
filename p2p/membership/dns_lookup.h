// One look-up of a cluster's name: A and AAAA, or SRV. Blocks for as long as the resolver takes, which nothing can
// shorten: it belongs on a thread that may be left behind.
// Thread rule: pure but for the resolver, whose state is made anew by each call.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"
#include "p2p/membership.h"

namespace oxbow::p2p {

struct DnsAnswer {
  std::vector<std::string> addresses;       ///< host:port, sorted, each once
  std::optional<std::chrono::seconds> ttl;  ///< the least of the answer; unknown from getaddrinfo
};

/// Errors: kNotFound (no such name, or no such records), kUnavailable, kInvalid, kLimit.
Result<DnsAnswer> look_up(const DnsOptions& options);

/// What `look_up` makes of the message of a name server. `type` as in the question: A, AAAA or SRV.
Result<DnsAnswer> read_dns_answer(std::span<const unsigned char> message, int type, std::uint16_t port);

}  // namespace oxbow::p2p

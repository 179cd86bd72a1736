// The requests and answers of etcd's v3 JSON gateway that we use: keys and values in base64, 64-bit numbers as text,
// a stream as one JSON object a line. Format: etcd's rpc.proto as grpc-gateway maps it.
// Thread rule: pure functions. Errors of the parsers: kUnavailable (not what a gateway says), and where it says so
// itself: kUnauthorized, kDenied, kNotFound (a lease), kInvalid, kLimit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::p2p::etcd {

struct KeyValue {
  std::string key;
  std::string value;
  std::int64_t mod_revision = 0;
};
struct Range {
  std::int64_t revision = 0;  ///< of the store when it was read
  std::vector<KeyValue> entries;
};
struct Event {
  bool removed = false;
  KeyValue entry;
};
/// One line of a watch.
struct WatchAnswer {
  std::int64_t revision = 0;  ///< of the store when it was sent
  bool created = false;
  bool canceled = false;
  std::int64_t compact_revision = 0;  ///< above 0: what was asked for is gone, this is the first that is left
  std::string cancel_reason;
  std::vector<Event> events;
};
struct Lease {
  std::int64_t id = 0;
  std::int64_t ttl_seconds = 0;  ///< 0: it has ended
};
struct Swap {
  bool succeeded = false;
  std::int64_t revision = 0;  ///< of the key, if it succeeded
};

/// The first key that does not begin with `prefix`.
std::string range_end(std::string_view prefix);

/// `end` empty: the one key.
std::string range_request(std::string_view key, std::string_view end);
std::string watch_request(std::string_view key, std::string_view end, std::int64_t from_revision);
std::string put_request(std::string_view key, std::string_view value, std::int64_t lease);
/// Puts if the key was last changed at `mod_revision`; 0: if it does not exist.
std::string swap_request(std::string_view key, std::string_view value, std::int64_t mod_revision);
std::string grant_request(std::int64_t ttl_seconds);
std::string lease_request(std::int64_t lease);
std::string authenticate_request(std::string_view name, std::string_view password);

Result<Range> parse_range(std::string_view json);
Result<WatchAnswer> parse_watch(std::string_view line);
/// Of a grant, or (within "result") of a keep-alive.
Result<Lease> parse_lease(std::string_view json);
Result<Swap> parse_swap(std::string_view json);
Result<std::string> parse_token(std::string_view json);
/// Whether etcd's words mean a signed token from before users or roles were changed: another one is needed.
bool says_token_is_old(std::string_view words);
/// What a gateway says in an answer that is not 200; `json` may be anything.
Error parse_error(long status, std::string_view json);

}  // namespace oxbow::p2p::etcd

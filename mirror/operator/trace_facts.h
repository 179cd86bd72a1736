// What the daemon says of a pull (`/api/v1/pulls/…`), as `oxbow trace` shows it. Thread rule: pure functions, plain
// values.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace oxbow::mirror {

struct TracedStripe {
  std::uint64_t stripe = 0;
  std::chrono::milliseconds at{0};
  std::chrono::milliseconds took{0};
  std::uint64_t bytes = 0;
  std::string source;
  std::string peer;
  std::uint64_t retries = 0;
  bool hedged = false;
  std::string verified;
};

struct TracedPull {
  std::uint64_t id = 0;
  std::string digest;
  std::uint64_t size_bytes = 0;
  std::string repository;  ///< with its registry; empty: not known
  std::string state;
  std::string error;
  std::optional<std::chrono::system_clock::time_point> started;
  std::optional<std::chrono::system_clock::time_point> ended;
  std::uint64_t stripes = 0;
  std::uint64_t done_stripes = 0;
  std::uint64_t storage = 0;
  std::uint64_t from_peers = 0;
  std::uint64_t upstream = 0;
  std::uint64_t readers = 0;
  std::uint64_t retries = 0;
  std::uint64_t hedges = 0;
  std::uint64_t replaced = 0;
  bool kept = true;
  std::string map;
  std::uint64_t map_stripes = 1;
  std::vector<std::pair<std::string, std::uint64_t>> peers;
  std::vector<TracedStripe> events;
  std::uint64_t events_dropped = 0;
};

/// Errors: kInvalid, when it is no pull.
Result<TracedPull> read_pull(const nlohmann::ordered_json& json);

/// Of RFC 3339 in UTC, as the API writes it.
std::optional<std::chrono::system_clock::time_point> read_time(const std::string& text);

}  // namespace oxbow::mirror

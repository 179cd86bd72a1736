// Checks that need more than one value, struct by struct.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace oxbow::config {

struct Problem {
  std::string key;  ///< the option to point at: "client.tls.key", "registry[2].upstreams"
  std::string message;
  bool is_warning = false;
};
using Problems = std::vector<Problem>;

/// What the ring makes of weights beyond these: p2p/ring.h.
inline constexpr double kRingWeightMin = 1.0 / 16;
inline constexpr double kRingWeightMax = 16;

void validate(const Client& client, Problems& out);
void validate(const Storage& storage, Problems& out);
/// `path` is the registry's own: "registry[2]".
void validate(const Registry& registry, const std::string& path, Problems& out);
void validate(const Peer& peer, Problems& out);
void validate(const Membership& membership, Problems& out);
void validate(const Limits& limits, Problems& out);
/// All of the above, and what lies between them.
Problems validate(const Config& config);

}  // namespace oxbow::config

// Whether the nodes follow the same settings, as far as their hellos tell. A change of the cluster's settings rolls, so
// nodes of two neighbouring epochs are as they should be, and so is one that has not read them yet since it started.
// Thread rule: one thread at a time. Lifetime: a value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/clock.h"
#include "p2p/protocol/messages.h"

namespace oxbow::mirror {

enum class SettingsDifference : std::uint8_t {
  kSettings,  ///< both have those of their files, and they differ
  kEpochs,    ///< both have the cluster's, several epochs apart
  kNoEpoch,   ///< one has the cluster's, the other those of its file
};

struct OwnSettings {
  std::string strategy;
  std::uint32_t replicas = 0;
  std::uint64_t epoch = 0;  ///< 0: those of the file
};

class SettingsCompare {
 public:
  /// Epochs that differ for so long do so for another reason than that a change is under way.
  static constexpr std::chrono::milliseconds kRolling{60'000};
  static constexpr std::size_t kPeersMax = 20'000;  ///< remembered; at more all are forgotten

  /// What is to be warned of, once for each peer.
  std::optional<SettingsDifference> take(const OwnSettings& own, const p2p::Hello& other, Clock::Steady now);

 private:
  struct Known {
    std::optional<Clock::Steady> apart_since = {};
    bool warned = false;
  };
  std::unordered_map<std::string, Known> known_;  ///< by the peer's name
};

}  // namespace oxbow::mirror

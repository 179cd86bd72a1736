#include "mirror/settings_compare.h"

#include <algorithm>

namespace oxbow::mirror {
namespace {

std::optional<SettingsDifference> difference(const OwnSettings& own, const p2p::Hello& other) {
  if (own.epoch == 0 && other.settings_epoch == 0) {
    const bool same = other.replicas == own.replicas && other.strategy == own.strategy;
    return same ? std::nullopt : std::optional(SettingsDifference::kSettings);
  }
  if (own.epoch == 0 || other.settings_epoch == 0) return SettingsDifference::kNoEpoch;
  const auto [older, newer] = std::minmax(own.epoch, other.settings_epoch);
  return newer - older < 2 ? std::nullopt : std::optional(SettingsDifference::kEpochs);
}

}  // namespace

std::optional<SettingsDifference> SettingsCompare::take(const OwnSettings& own, const p2p::Hello& other,
                                                        Clock::Steady now) {
  const auto found = difference(own, other);
  if (!found) {
    if (const auto it = known_.find(other.facts.name); it != known_.end()) it->second.apart_since.reset();
    return std::nullopt;
  }
  if (known_.size() >= kPeersMax && !known_.contains(other.facts.name)) known_.clear();
  auto& known = known_[other.facts.name];
  if (known.warned) return std::nullopt;
  if (*found != SettingsDifference::kSettings) {
    if (!known.apart_since) known.apart_since = now;
    if (now - *known.apart_since < kRolling) return std::nullopt;
  }
  known.warned = true;
  return found;
}

}  // namespace oxbow::mirror

#include <algorithm>
#include <array>
#include <utility>

#include "p2p/sim/crowd.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::array kNames = {
    std::pair{CrowdPolicy::kSwarm, std::string_view("swarm")},
    std::pair{CrowdPolicy::kRing, std::string_view("ring")},
    std::pair{CrowdPolicy::kFingers, std::string_view("fingers")},
    std::pair{CrowdPolicy::kSingle, std::string_view("single")},
    std::pair{CrowdPolicy::kHierarchy, std::string_view("hierarchy")},
    std::pair{CrowdPolicy::kTree, std::string_view("tree")},
    std::pair{CrowdPolicy::kSpegel, std::string_view("spegel")},
    std::pair{CrowdPolicy::kDragonfly, std::string_view("dragonfly")},
    std::pair{CrowdPolicy::kKraken, std::string_view("kraken")},
    std::pair{CrowdPolicy::kGantry, std::string_view("gantry")},
};

}  // namespace

std::string_view to_string(CrowdPolicy policy) noexcept {
  const auto* found = std::ranges::find(kNames, policy, &std::pair<CrowdPolicy, std::string_view>::first);
  return found == kNames.end() ? "unknown" : found->second;
}

std::optional<CrowdPolicy> crowd_policy_of(std::string_view name) noexcept {
  const auto* found = std::ranges::find(kNames, name, &std::pair<CrowdPolicy, std::string_view>::second);
  return found == kNames.end() ? std::nullopt : std::optional(found->first);
}

}  // namespace oxbow::p2p::sim

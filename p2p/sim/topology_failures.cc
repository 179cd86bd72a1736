#include "p2p/sim/topology_failures.h"

#include <algorithm>

namespace oxbow::p2p::sim {

ShardLoss lose_of_a_shard(const TopologyPlacement& placement, const Popularity& popularity, std::uint32_t keys,
                          std::uint32_t killed, std::uint32_t trials, Random& random) {
  ShardLoss sum;
  std::vector<bool> dead(placement.servers());
  for (std::uint32_t trial = 0; trial < trials; ++trial) {
    const auto shard = placement.holders(random.below(keys));
    std::vector<std::uint32_t> victims(shard.begin(), shard.end());
    const auto count = std::min(killed, static_cast<std::uint32_t>(victims.size()));
    for (std::uint32_t i = 0; i < count; ++i) {
      std::swap(victims[i], victims[i + random.below(static_cast<std::uint32_t>(victims.size()) - i)]);
      dead[victims[i]] = true;
    }
    std::uint32_t lost = 0;
    for (std::uint32_t key = 0; key < keys; ++key) {
      const auto holders = placement.holders(key);
      const auto gone = std::ranges::count_if(holders, [&](auto server) { return dead[server]; });
      if (static_cast<std::size_t>(gone) == holders.size()) {
        ++lost;
        sum.requests += popularity.share(key);
      } else {
        const auto live = static_cast<double>(holders.size()) - static_cast<double>(gone);
        sum.dead_tries += popularity.share(key) * static_cast<double>(gone) / (live + 1);
      }
    }
    sum.keys += static_cast<double>(lost) / keys;
    for (const auto server : victims) dead[server] = false;
  }
  return {sum.keys / trials, sum.requests / trials, sum.dead_tries / trials};
}

std::uint32_t holder_sets(const TopologyPlacement& placement, std::uint32_t keys) {
  std::vector<std::vector<std::uint32_t>> sets;
  sets.reserve(keys);
  for (std::uint32_t key = 0; key < keys; ++key) {
    const auto holders = placement.holders(key);
    sets.emplace_back(holders.begin(), holders.end());
    std::ranges::sort(sets.back());
  }
  std::ranges::sort(sets);
  return static_cast<std::uint32_t>(std::ranges::unique(sets).begin() - sets.begin());
}

double any_loss(std::uint32_t sets, std::uint32_t servers, std::uint32_t copies) {
  double ways = 1;
  for (std::uint32_t i = 0; i < copies; ++i) ways *= static_cast<double>(servers - i) / (i + 1);
  return sets / ways;
}

}  // namespace oxbow::p2p::sim

// What is lost when servers fail at once. Part of p2p/sim/topology.
// Thread rule: pure functions.
#pragma once

#include "p2p/sim/popularity.h"
#include "p2p/sim/topology_placement.h"

namespace oxbow::p2p::sim {

struct ShardLoss {
  double keys = 0;        ///< share without a copy
  double requests = 0;    ///< share of requests for them
  double dead_tries = 0;  ///< servers asked in vain by one request for a key that is left, the holders in random order
};
/// `killed` of the servers that hold a random key, or all of them where there are no more; a mean over `trials`.
ShardLoss lose_of_a_shard(const TopologyPlacement& placement, const Popularity& popularity, std::uint32_t keys,
                          std::uint32_t killed, std::uint32_t trials, Random& random);

/// How many different sets of servers hold a key: each of them is a way to lose something.
std::uint32_t holder_sets(const TopologyPlacement& placement, std::uint32_t keys);

/// Probability that as many random servers as a key has copies are such a set.
double any_loss(std::uint32_t sets, std::uint32_t servers, std::uint32_t copies);

}  // namespace oxbow::p2p::sim

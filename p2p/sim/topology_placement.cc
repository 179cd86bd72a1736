#include "p2p/sim/topology_placement.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "p2p/ring.h"

namespace oxbow::p2p::sim {
namespace {

Key key_of_number(std::uint32_t key, std::uint64_t seed) { return Random(seed ^ (std::uint64_t{key} << 20U)).next(); }

Ring ring_of(std::uint32_t servers, std::uint64_t seed) {
  std::vector<Member> members(servers);
  for (std::uint32_t i = 0; i < servers; ++i) members[i].name = "s" + std::to_string(seed) + "-" + std::to_string(i);
  return Ring(members);
}

}  // namespace

TopologyPlacement::TopologyPlacement(TopologyKind kind, std::uint32_t servers, std::uint32_t replicas,
                                     std::uint32_t keys, std::uint64_t seed)
    : servers_(kind == TopologyKind::kSingle ? 1 : servers) {
  const bool one = kind == TopologyKind::kSingle || kind == TopologyKind::kSharded;
  copies_ = one ? 1 : std::min(replicas, servers_);
  holders_.reserve(std::size_t{keys} * copies_);
  if (kind == TopologyKind::kRing || kind == TopologyKind::kRingReaders) {
    const Ring ring = ring_of(servers_, seed);
    for (std::uint32_t key = 0; key < keys; ++key) {
      const auto found = ring.walk(key_of_number(key, seed), copies_, [](std::uint32_t) { return true; });
      holders_.insert(holders_.end(), found.begin(), found.end());
    }
  } else {
    const auto shards = servers_ / copies_;
    for (std::uint32_t key = 0; key < keys; ++key) {
      const auto shard = Random(key_of_number(key, seed)).below(shards);
      for (std::uint32_t i = 0; i < copies_; ++i) holders_.push_back(shard * copies_ + i);
    }
  }
  OXBOW_INVARIANT(holders_.size() == std::size_t{keys} * copies_);
}

}  // namespace oxbow::p2p::sim

// Which servers hold which key in each topology, and how popular keys are. Part of p2p/sim/topology.
// Thread rule: immutable.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "p2p/random.h"
#include "p2p/sim/topology.h"

namespace oxbow::p2p::sim {

class TopologyPlacement {
 public:
  /// `servers` of a single server: 1, whatever is given.
  TopologyPlacement(TopologyKind kind, std::uint32_t servers, std::uint32_t replicas, std::uint32_t keys,
                    std::uint64_t seed);

  std::uint32_t servers() const noexcept { return servers_; }
  std::uint32_t copies() const noexcept { return copies_; }
  /// In the order in which they are asked where order matters.
  std::span<const std::uint32_t> holders(std::uint32_t key) const {
    return std::span(holders_).subspan(std::size_t{key} * copies_, copies_);
  }

 private:
  std::uint32_t servers_;
  std::uint32_t copies_;
  std::vector<std::uint32_t> holders_;
};

}  // namespace oxbow::p2p::sim

// Where the seed protocol's simulator puts each key: owner, two levels of fingers, replicas; and the racks and rows
// that nodes stand in. All of it is drawn at random for each key, alike in both arms but for the replicas. Thread rule:
// immutable once made.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "p2p/random.h"
#include "p2p/sim/seed.h"

namespace oxbow::p2p::sim {

using SeedNode = std::uint32_t;

/// Contiguous node IDs: rows of racks of nodes.
class SeedTopology {
 public:
  SeedTopology(std::uint32_t rack_nodes, std::uint32_t row_racks)
      : rack_nodes_(rack_nodes), row_nodes_(rack_nodes * row_racks) {}

  SeedNode rack_begin(SeedNode node) const noexcept { return node - node % rack_nodes_; }
  SeedNode row_begin(SeedNode node) const noexcept { return node - node % row_nodes_; }
  std::uint32_t rack_nodes() const noexcept { return rack_nodes_; }
  std::uint32_t row_nodes() const noexcept { return row_nodes_; }
  /// 0 same node, 1 same rack, 2 same row, 3 across rows.
  std::uint32_t tier(SeedNode a, SeedNode b) const noexcept {
    return a == b ? 0 : a / rack_nodes_ == b / rack_nodes_ ? 1 : a / row_nodes_ == b / row_nodes_ ? 2 : 3;
  }

 private:
  std::uint32_t rack_nodes_, row_nodes_;
};

/// The generators of one run: one for each purpose, so that a draw more in one place moves nothing elsewhere.
enum class SeedStream : std::uint64_t { kPlacement = 1, kNearReplicas, kFarReplicas, kDemand, kJitter, kChoice };
Random stream_of(std::uint64_t seed, SeedStream purpose, std::uint64_t index = 0) noexcept;

class SeedPlacement {
 public:
  SeedPlacement(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed);

  std::uint32_t keys() const noexcept { return static_cast<std::uint32_t>(owners_.size()); }
  SeedNode owner(std::uint32_t key) const noexcept { return owners_[key]; }
  /// V·b of them.
  std::span<const SeedNode> level2(std::uint32_t key) const noexcept;
  /// b of them, under the `index`-th level-2 peer of the key.
  std::span<const SeedNode> level1(std::uint32_t key, std::uint32_t index) const noexcept;
  /// r − 1 of them, nearest to the owner or anywhere.
  std::span<const SeedNode> near_replicas(std::uint32_t key) const noexcept { return replicas_of(near_, key); }
  std::span<const SeedNode> far_replicas(std::uint32_t key) const noexcept { return replicas_of(far_, key); }

 private:
  class Taken;
  std::span<const SeedNode> replicas_of(const std::vector<SeedNode>& all, std::uint32_t key) const noexcept {
    return {all.data() + std::size_t{key} * copies_, copies_};
  }
  void draw_near(const SeedTopology& topology, std::uint32_t nodes, Taken& taken, SeedNode owner, Random random);

  std::uint32_t level2_, b_, copies_;
  std::vector<SeedNode> owners_;
  std::vector<SeedNode> fingers_;  ///< by key: the level-2 peers, then the sets of level-1 peers
  std::vector<SeedNode> near_, far_;
};

}  // namespace oxbow::p2p::sim

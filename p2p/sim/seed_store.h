// Who holds which stripe in the seed protocol's simulator: pinned copies, and a least-recently-used store a node.
// Thread rule: one thread. Units: stripes.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "core/error.h"

namespace oxbow::p2p::sim {

class SeedStore {
 public:
  SeedStore(std::uint32_t nodes, std::uint32_t keys, std::uint32_t capacity);

  bool has(std::uint32_t node, std::uint32_t key) const noexcept {
    return (bits_[word_of(node, key)] >> (node % 64) & 1U) != 0;
  }
  /// Held for ever, outside the capacity.
  void pin(std::uint32_t node, std::uint32_t key) noexcept;
  /// A hit: the most recently used of its node now, if it is not pinned.
  void touch(std::uint32_t node, std::uint32_t key) noexcept;
  /// Requires that the node does not hold the key. Evicts the least recently used one when the store is full.
  void admit(std::uint32_t node, std::uint32_t key) noexcept;

  std::uint32_t copies(std::uint32_t key) const noexcept;
  /// Pins and admissions.
  std::uint64_t added() const noexcept { return added_; }
  std::uint64_t evictions() const noexcept { return evictions_; }

 private:
  std::size_t word_of(std::uint32_t node, std::uint32_t key) const noexcept {
    return std::size_t{key} * words_ + node / 64;
  }

  std::size_t words_;  ///< of one key
  std::uint32_t capacity_;
  /// No store can be full: recency decides nothing and is not kept.
  bool never_evicts_;
  std::vector<std::uint64_t> bits_;   ///< by key, a bit a node
  std::vector<std::uint32_t> order_;  ///< by node, `capacity_` keys: the most recently used first
  std::vector<std::uint32_t> used_;   ///< by node: how many of them
  std::uint64_t added_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace oxbow::p2p::sim

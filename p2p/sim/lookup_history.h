// Who was a member when: the past of a cluster of constant size in which each node leaves at a given rate and is
// replaced at once by a new one in the same place. Routing tables of Chord and Kademlia are answered from it as they
// were at their last refresh, so that no periodic work of 100,000 nodes has to be played through.
// Thread rule: immutable. Times are milliseconds; now is 0, the past is negative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace oxbow::p2p::sim {

using HistoryTime = std::int32_t;

class LookupHistory {
 public:
  static constexpr HistoryTime kAlways = std::numeric_limits<HistoryTime>::min();
  static constexpr HistoryTime kNever = std::numeric_limits<HistoryTime>::max();

  struct Node {
    std::uint64_t id = 0;  ///< its place in the key space of Chord and Kademlia
    HistoryTime joined = kAlways;
    HistoryTime left = kNever;
    std::uint32_t place = 0;  ///< 0 to size - 1: its rack follows from it
  };

  /// `leaves` a node and minute, over the last `window` milliseconds. Requires a node at least.
  LookupHistory(std::uint32_t size, double leaves, HistoryTime window, std::uint64_t seed);

  std::uint32_t size() const noexcept { return size_; }
  /// All that ever were members, by ascending id.
  const std::vector<Node>& nodes() const noexcept { return nodes_; }
  const Node& node(std::uint32_t index) const { return nodes_[index]; }
  bool alive(std::uint32_t index, HistoryTime at) const {
    return nodes_[index].joined <= at && at < nodes_[index].left;
  }
  std::vector<std::uint32_t> members(HistoryTime at) const;

  /// The index of the first node with an id of at least `id`; nodes().size() behind the last.
  std::uint32_t first_at(std::uint64_t id) const;
  /// The first member at `at` from `id` on around the circle.
  std::uint32_t successor(std::uint64_t id, HistoryTime at) const;
  /// The next one after `index`.
  std::uint32_t next(std::uint32_t index, HistoryTime at) const;

 private:
  std::uint32_t size_;
  std::vector<Node> nodes_;
};

}  // namespace oxbow::p2p::sim

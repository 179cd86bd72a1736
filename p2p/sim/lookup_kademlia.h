// The buckets of Kademlia nodes as their last refresh left them: up to k nodes of each subtree, any of it. (A real
// bucket prefers those that have lived longest; in the constant churn of this history nobody's past tells his future.)
// Part of p2p/sim/lookup.
// Thread rule: immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "p2p/sim/lookup_scheme.h"

namespace oxbow::p2p::sim {

class KademliaTables {
 public:
  KademliaTables(const LookupHistory& history, std::uint32_t k, std::uint32_t refresh_ms, std::uint64_t seed)
      : history_(history), k_(k), refresh_ms_(refresh_ms), seed_(seed) {}

  /// The nodes that `node` knows of those that share `bits` leading bits with it and no more.
  void bucket(std::uint32_t node, int bits, std::vector<std::uint32_t>& into) const;
  /// How many leading bits decide: deeper buckets are empty.
  int depth(std::uint32_t node) const;
  /// The k closest to the key that `node` knows.
  std::vector<std::uint32_t> closest(std::uint32_t node, std::uint64_t key) const;
  /// The k closest members now.
  std::vector<std::uint32_t> holders(std::uint64_t key) const;

 private:
  struct Range {
    std::uint32_t begin;
    std::uint32_t end;
  };
  /// The nodes whose ids begin with the first `bits` of `id`.
  Range subtree(std::uint64_t id, int bits) const;
  void keep_closest(std::vector<std::uint32_t>& nodes, std::uint64_t key) const;

  const LookupHistory& history_;
  const std::uint32_t k_;
  const std::uint32_t refresh_ms_;
  const std::uint64_t seed_;
};

}  // namespace oxbow::p2p::sim

// The caches of a cluster, for the capacity simulation: who keeps what under which budget. The rules are the storage's
// (storage/README.md, store_space.cc, store_spans.cc): items leave whole in the policy's order; large ones
// (core/large_blob.h) leave span by span, lowest span_rank of all of them first, the newest eight spans not while an
// item is read; one makes room for itself in its turn when it is larger than the budget, else only when nothing else
// can go. What other nodes hold is known exactly. Thread rule: one thread. Lifetime: one a run; `items` outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/large_blob.h"
#include "p2p/sim/cache_policy.h"

namespace oxbow::p2p::sim {

/// How a node orders the spans of what it can keep in parts only.
enum class SpanOrder : std::uint8_t {
  kRank,   ///< the daemon's span_rank
  kPlace,  ///< by the place in the span's walk alone, the rest by number: what the daemon did before
};

struct CacheItem {
  std::uint64_t bytes = 0;
};

class CacheCluster {
 public:
  struct Options {
    std::uint32_t nodes = 0;
    std::uint64_t budget_bytes = 0;
    PolicyMaker policy;
    bool last_copy = false;  ///< the only copy in the cluster goes only when nothing else can
    SpanOrder span_order = SpanOrder::kRank;
    /// When the turn of an item that is kept by span has come, the span that goes is the lowest ranked one of all such
    /// items of the node, so that the files of a set shrink together, as the storage does it. Without: one item after
    /// the other, each down to nothing, and only those larger than an eighth of the budget by span.
    bool pooled = true;
  };
  /// Where the bytes of a request came from.
  struct Served {
    std::uint64_t local_bytes = 0;
    std::uint64_t peer_bytes = 0;
    std::uint64_t upstream_bytes = 0;
  };
  struct Copies {
    std::uint32_t min = 0;
    std::uint32_t max = 0;
    double mean = 0;               ///< by bytes
    std::uint64_t kept_bytes = 0;  ///< with a copy at least
  };

  CacheCluster(Options options, const std::vector<CacheItem>& items);
  ~CacheCluster();

  /// A client of `node` reads all of `item`, which is kept as far as the rules let it.
  Served request(std::uint32_t node, ItemId item);
  Copies copies(ItemId item) const;
  /// Of all nodes together, copies counted each.
  std::uint64_t stored_bytes() const noexcept { return stored_bytes_; }
  /// Aborts unless every node is within its budget and the copies are what the nodes hold.
  void check() const;

 private:
  struct Node;
  struct Giant;    ///< an item that is kept by span
  struct Partial;  ///< what one node has of it

  bool is_giant(ItemId item) const noexcept {
    const auto bytes = items_[item].bytes;
    return options_.pooled ? leaves_by_span(bytes, options_.budget_bytes) : bytes > options_.budget_bytes / 8;
  }
  void add_giant(ItemId item);
  void set_order(const Giant& giant, std::uint32_t node, Partial& partial) const;
  Served request_giant(std::uint32_t node, ItemId item);
  bool make_room(std::uint32_t node, ItemId wanting, std::uint64_t bytes);
  bool evict_one(std::uint32_t node, ItemId wanting);
  bool may_evict(Node& node, ItemId item, ItemId wanting, bool sparing, bool protect);
  void note_lowest(Node& node, ItemId item, Partial& partial) const;
  ItemId lowest_giant(Node& node, ItemId victim, ItemId wanting, bool sparing, bool protect);
  void evict(std::uint32_t node, ItemId item, bool keep_entry);
  void account(Node& node, ItemId item, std::int64_t delta);

  const Options options_;
  const std::vector<CacheItem>& items_;
  std::vector<std::uint32_t> copies_;  ///< of whole items
  std::map<ItemId, Giant> giants_;
  std::vector<Node> nodes_;
  std::uint64_t stored_bytes_ = 0;
};

}  // namespace oxbow::p2p::sim

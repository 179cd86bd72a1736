// Full membership at several ages, as the daemon sees it: the daemon's own peer index and ring. Part of p2p/sim/lookup.
// Thread rule: immutable.
#pragma once

#include <memory>
#include <vector>

#include "p2p/peer_table.h"
#include "p2p/sim/lookup_scheme.h"

namespace oxbow::p2p::sim {

struct RingViews {
  struct View {
    HistoryTime at = 0;
    std::vector<std::uint32_t> nodes;  ///< of the history, in the order of the view's members
    std::vector<Peer> peers;           ///< as nobody in particular sees them
    std::shared_ptr<const PeerIndex> index;
  };
  explicit RingViews(const LookupHistory& of) : history(of) {}

  const LookupHistory& history;
  std::vector<View> stale;  ///< at ages that are spread evenly over the refresh interval
  View fresh;

  /// The view that serves the look-up, and a client: one that was a member then and still lives.
  const View& any_view(Random& random) const { return stale[random.below(static_cast<std::uint32_t>(stale.size()))]; }
  std::uint32_t any_client(const View& view, Random& random) const;
  /// The node that owns the key for who knows all.
  std::uint32_t owner(Key key) const { return fresh.nodes[fresh.index->ring().owner(key)]; }
  bool lives(std::uint32_t node) const { return history.alive(node, 0); }
  double upkeep(const LookupOptions& options) const;
};

}  // namespace oxbow::p2p::sim

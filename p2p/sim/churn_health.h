// What each node has found out about others by asking: the daemon's PeerHealth for every pair that has met, and its
// prober's rhythm: a round every 5 s says hello to at most 64 peers, those first that were not heard of for the longest
// time, so that a pair is probed once a cycle of max(5 s, members / 64 x 5 s), at a time of its own. Probes are worked
// off when somebody asks about the pair.
// Thread rule: one thread. Lifetime: one a run.
#pragma once

#include <unordered_map>
#include <vector>

#include "p2p/peer_health.h"
#include "p2p/sim/churn_world.h"

namespace oxbow::p2p::sim {

class ChurnHealth {
 public:
  /// `on` false: nobody remembers or probes anything.
  ChurnHealth(const ChurnWorld& world, std::uint32_t members, bool on);

  /// Whether `node` would select `peer` now.
  bool eligible(NodeId node, NodeId peer, Ms now);
  void answered(NodeId node, NodeId peer, Ms now);
  void failed(NodeId node, NodeId peer, Ms now);

 private:
  struct Known {
    PeerHealth health;
    Ms seen;  ///< the probes up to here are worked off
    bool restart_seen = false;
  };
  Known& known(NodeId node, NodeId peer, Ms now);
  void work_off(Known& known, NodeId node, NodeId peer, Ms now) const;

  const ChurnWorld& world_;
  const bool on_;
  const PeerTableOptions options_;
  Ms cycle_;
  std::vector<std::unordered_map<NodeId, Known>> known_;  ///< by node; no order of them matters
};

}  // namespace oxbow::p2p::sim

// The soft state of a node's process in the churn simulation: a restart forgets it. Part of p2p/sim/churn_cluster.
#pragma once

#include "p2p/sim/churn_cluster.h"

namespace oxbow::p2p::sim {

struct ChurnCluster::Server {
  Server(NodeId node, Ms started, bool is_second)
      : coordinator({}, Random(node).next(), Time(started)), second(is_second) {}

  Coordinator coordinator;
  FingerOwner fingers;
  bool second;  ///< after a restart
  Ms ticked = 0;
};

}  // namespace oxbow::p2p::sim

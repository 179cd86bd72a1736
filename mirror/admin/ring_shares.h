// Which part of the key space each member of the ring owns. Found by asking the ring for the owners of evenly spread
// keys: with 40 probes a key it has no arcs that could be measured. 65,536 keys or 256 a member give a share of a
// hundredth within 4 % of itself.
// Thread rule: any thread; one computes, the others wait. Lifetime: keeps the snapshot whose shares it knows.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "p2p/peer_table.h"

namespace oxbow::mirror {

class RingShares {
 public:
  /// By the order of the snapshot's peers; they add up to 1. The same until members or weights change. Takes up to a
  /// second with 4,096 members and more.
  std::shared_ptr<const std::vector<double>> of(const std::shared_ptr<const p2p::PeerSnapshot>& peers);

 private:
  std::mutex mutex_;
  std::shared_ptr<const p2p::PeerSnapshot> known_;
  std::shared_ptr<const std::vector<double>> shares_;
};

}  // namespace oxbow::mirror

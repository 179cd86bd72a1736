// The conversations of one fetch with the ring: what its strategy tells coordinators, and the have streams that it
// follows. Answers come back as events. (The connection to one peer is p2p/peer_link.)
// Thread rule: the home loop. Lifetime: owned by its fetch; after its end nothing is called back.
#pragma once

#include <functional>
#include <memory>
#include <unordered_map>

#include "mirror/fetch_peers.h"

namespace oxbow::mirror {

class PeerLinks {
 public:
  using Tell = std::function<void(const p2p::Event&)>;
  PeerLinks(FetchPeers& peers, Loop& home, const Digest& digest, std::uint32_t stripes, Tell tell);
  ~PeerLinks();
  PeerLinks(const PeerLinks&) = delete;
  PeerLinks& operator=(const PeerLinks&) = delete;

  /// The first PeersChanged, and from then on every one.
  void start();
  void send(p2p::Send message);
  void watch(p2p::PeerId peer);
  void unwatch(p2p::PeerId peer);

 private:
  struct Alive {
    PeerLinks* links;
  };
  void peers_changed();

  FetchPeers& peers_;
  Loop& home_;
  Digest digest_;
  std::uint32_t stripes_;
  Tell tell_;
  std::shared_ptr<Alive> alive_;
  struct Watch {
    std::uint64_t number = 0;
    std::unique_ptr<p2p::PeerCall> call;
  };
  std::uint64_t last_watch_ = 0;
  std::unordered_map<p2p::PeerId, Watch> watches_;
  std::unique_ptr<storage::Subscription> subscription_;
};

}  // namespace oxbow::mirror

// This node as a member of the ring: table, membership, connections, coordinator, prober, the server for peers, and
// what is announced. One object joins them; `Blobs` sees it as FetchPeers.
// Thread rule: `start`, `drain`, `close` from main; the rest any thread. Lifetime: outlives the fetches; closed before
// the loops end.
#pragma once

#include <memory>
#include <string>

#include "config/config.h"
#include "core/clock.h"
#include "core/metrics.h"
#include "mirror/blobs.h"
#include "mirror/fetch_peers.h"
#include "mirror/own_knowledge.h"
#include "p2p/peer_preheats.h"

namespace oxbow::mirror {

/// The ring as this node sees it now, for people.
struct PeersView {
  std::string strategy;
  std::uint32_t replicas = 0;
  std::string membership;   ///< the provider
  std::string trouble;      ///< why what the provider told last is old; empty: it answers
  std::size_t unnamed = 0;  ///< members known by address, whose name no hello has told yet
  std::shared_ptr<const p2p::PeerSnapshot> peers;
};

class RingNode : public FetchPeers {
 public:
  struct Parts {
    Loops& loops;
    WorkPool& pool;
    const Clock& clock;
    MetricsRegistry& metrics;
    Blobs& blobs;
    std::string version;
  };

  /// Binds the peers' address. Errors: kInvalid (options, certificates), kBusy, kIo, kDenied.
  static Result<std::unique_ptr<RingNode>> create(const config::Config& config, Parts parts);

  /// What peers are told of tags and digests. Before `start`; outlives what runs on the loops.
  virtual void set_knowledge(OwnKnowledge& knowledge) = 0;
  /// What peers may ask this node to fetch. Before `start`, likewise.
  virtual void set_preheats(p2p::PeerPreheats& preheats) = 0;
  virtual const std::string& name() const noexcept = 0;
  virtual Result<> start() = 0;
  /// Tells the others that this node goes away: they choose others from now on. It stays a member, and everything works
  /// on.
  virtual void leave() = 0;
  /// Leaves, if it has not, finishes what it sends to peers, and then is no member any more. Takes as much longer than
  /// `timeout` as membership needs to say so: with etcd a second at most for each endpoint that does not answer.
  virtual void drain(std::chrono::milliseconds timeout) = 0;
  virtual void close() = 0;
  virtual std::vector<std::string> addresses() const = 0;
  virtual PeersView view() const = 0;
};

}  // namespace oxbow::mirror

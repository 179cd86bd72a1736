// The peer protocol's server: an http::Handler for `/p2p/v1/…` (docs/peer-protocol.md). Knows who asks from the
// certificate; bounds uploads by slots; carries the load on every answer and a have-map on those about a stripe.
// Thread rule: as http::Handler. Lifetime: outlives the server that uses it.
#pragma once

#include <functional>
#include <memory>

#include "core/clock.h"
#include "core/http/handler.h"
#include "core/metrics.h"
#include "p2p/coordinator.h"
#include "p2p/peer_content.h"
#include "p2p/peer_preheats.h"
#include "p2p/peer_table.h"

namespace oxbow::p2p {

struct PeerServiceOptions {
  bool insecure = false;  ///< the asker's name is taken from `oxbow-peer`, not from its certificate
  std::uint32_t upload_slots = 8;
  std::uint32_t same_stripe = 3;     ///< of them for one and the same stripe
  std::uint32_t upload_waiting = 3;  ///< stripe requests that wait for a slot, for at most `slot_wait`
  std::chrono::milliseconds slot_wait{200};
  /// Who takes less than kUploadStallBytes (upload_body.h) in so long, of what is there for it, loses its slot.
  std::chrono::milliseconds upload_stall{10'000};
  std::uint64_t upload_bandwidth = 0;  ///< bytes per second to all peers together; 0: unlimited
  std::uint32_t alternatives = 4;      ///< named by a busy answer
  std::uint32_t have_streams = 4'096;  ///< open at once
  /// Of them to one peer: twice what a peer follows (PeerClientOptions), for those of its last process may still be
  /// open.
  std::uint32_t have_streams_each = 1'024;
};

/// A coordinator with its lock, and what this node says in a hello. `hello` is called per request.
struct PeerServiceParts {
  PeerTable& table;
  PeerContent& content;
  std::function<AnnounceReply(PeerId from, const Announce&)> announce;
  std::function<Hello()> hello;
  /// Somebody said hello whose name no member has: it may be a member that is known by address only, or nobody.
  std::function<void(const Hello&, const std::string& remote)> on_hello;
  /// Other holders of a stripe, for busy answers; who was sent it from here is named after them.
  std::function<std::vector<std::string>(const Digest&, std::uint32_t stripe)> alternatives;
  const Clock& clock;
  /// Whether `node-7` or `serial:0A1B…` is in the list of the revoked; may be empty. The table knows members only.
  std::function<bool(std::string_view)> revoked = {};
  /// Asked per request, for it comes late in a node's start; empty or null: no preheats here.
  std::function<PeerPreheats*()> preheats = {};
};

class PeerService : public http::Handler {
 public:
  virtual Load load() const = 0;
  /// Ends the have streams, which have no end of their own; before http::Server::drain.
  virtual void drain() = 0;
};
std::unique_ptr<PeerService> make_peer_service(PeerServiceOptions options, PeerServiceParts parts,
                                               MetricsRegistry& metrics);

}  // namespace oxbow::p2p

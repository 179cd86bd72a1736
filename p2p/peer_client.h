// Talks to peers: one long-lived HTTP/2 connection a peer, each on a loop of its own choice; what comes is handed over
// to the asker's loop. Tells the table of contact and failures (speed: mirror/blob_fetch). Thread rule: any thread;
// callbacks on the given loop. Lifetime: outlives its calls; `close` before the loops end.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/http/client.h"
#include "core/task.h"
#include "p2p/peer_table.h"
#include "p2p/protocol/messages.h"
#include "p2p/protocol/preheat.h"

namespace oxbow::p2p {

struct StripeAsk {
  Digest digest = Digest::sha256(std::string_view());
  std::uint64_t blob_bytes = 0;
  std::uint32_t stripe = 0;
  std::uint64_t offset = 0;  ///< in the stripe: where the missing tail begins
  std::vector<std::string> path = {};
  bool along = false;       ///< `fingers`: to be fetched if it is not there, along `path`, or at its end without one
  std::string client = {};  ///< with `along`: who asked first and may fetch from upstream; empty: nobody may
  std::uint32_t wants = 0;  ///< with `client`: how many stripes from this one on
  std::chrono::milliseconds deadline{30'000};  ///< of the answer's head; 3 s at most
};

class StripeSink {
 public:
  virtual ~StripeSink() = default;
  /// With the answer, before anything else; what it says of the stripe itself follows.
  virtual void on_news(const AnswerNews&) {}
  virtual void on_head(const StripeFacts& facts) = 0;
  virtual std::size_t on_data(std::span<const std::byte> bytes) = 0;
  /// Before `on_done` with kNotFound, to an ask with `along`: the client may fetch it from upstream.
  virtual void on_lease() {}
  /// As FetchEnded; `alternatives` are names.
  virtual void on_done(Result<> outcome, std::vector<std::string> alternatives) = 0;
};

/// Destroying it ends the call; nothing is called back afterwards. On the asker's loop.
class PeerCall {
 public:
  virtual ~PeerCall() = default;
  virtual void resume() {}
};

class PeerClient {
 public:
  virtual ~PeerClient() = default;

  virtual std::unique_ptr<PeerCall> stripe(PeerId peer, StripeAsk ask, Loop& loop, StripeSink& sink) = 0;
  /// Follows a have stream: `on_update` for each line, `on_end` once. Errors: kLimit (of this node's own; it says
  /// nothing of the peer), kNotFound (the peer does not know the blob, or no more), and as http::ClientSink::on_done.
  virtual std::unique_ptr<PeerCall> watch_have(PeerId peer, Digest digest, std::uint32_t stripes, Loop& loop,
                                               std::function<void(HaveUpdate)> on_update,
                                               std::function<void(Error)> on_end) = 0;
  /// `quiet`: without any byte of the peer, and four times as long in all; likewise for `hello`.
  virtual Task<Result<std::vector<AnnounceReply>>> announce(PeerId peer, std::vector<Announce> announces,
                                                            std::chrono::milliseconds quiet) = 0;
  virtual Task<Result<BlobFacts>> facts(PeerId peer, Digest digest, bool with_midstates,
                                        std::chrono::milliseconds timeout) = 0;
  virtual Task<Result<Hello>> hello(PeerId peer, Hello own, std::chrono::milliseconds quiet) = 0;
  /// To an address whose peer is not known by name yet.
  virtual Task<Result<Hello>> hello_at(std::string address, Hello own, std::chrono::milliseconds timeout) = 0;
  struct KnownAsk {
    std::string registry;
    std::string repository;
    std::string reference;  ///< a tag or a digest
    bool may_ask = false;   ///< the peer may ask upstream for the tag
  };
  virtual Task<Result<KnownFacts>> known(PeerId peer, KnownAsk ask, std::chrono::milliseconds timeout) = 0;
  /// Content that the peer keeps whole; not verified yet.
  struct SmallReply {
    std::string bytes;
    std::string media_type;
  };
  virtual Task<Result<SmallReply>> small(PeerId peer, Digest digest, std::chrono::milliseconds timeout) = 0;
  /// A preheat at the peer: started (or asked to go on), asked about, ended. Errors: kNotFound (asked about: it does
  /// not know it, or any more; started: the peer does not know the registry, or no preheats), kBusy (too many wait),
  /// kDenied.
  struct PreheatCall {
    enum class What : std::uint8_t { kStart, kReport, kCancel } what = What::kReport;
    PreheatAsk ask;  ///< kStart: all of it; else the id
  };
  virtual Task<Result<PreheatReport>> preheat(PeerId peer, PreheatCall call, std::chrono::milliseconds timeout) = 0;
  virtual void close() = 0;
};

struct PeerClientOptions {
  std::string own_name;
  std::shared_ptr<http::ClientTls> tls;  ///< null: insecure, said loudly
  http::ClientOptions http;
  /// Have streams open at once to one peer; more end at once with kLimit. They have no end of their own, and each takes
  /// one of `http.streams`, which announces and stripes need too.
  std::uint32_t have_streams = 512;
};
std::unique_ptr<PeerClient> make_peer_client(PeerClientOptions options, PeerTable& table, Loops& loops,
                                             MetricsRegistry& metrics);

}  // namespace oxbow::p2p

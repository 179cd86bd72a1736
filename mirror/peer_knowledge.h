// What peers know of a tag or digest, asked when upstream does not answer (down, 5xx, time-out; never after a refusal),
// so that content which is in the cluster is served also by a node that never had it; and the tag's owner, for
// `tags_via = "owner"`. A peer's word is for the request at hand: it makes no grant and no membership here. What trust
// in members that means is in docs/peer-protocol.md.
// Thread rule: all methods on any loop, many at once. Lifetime: outlives the requests; `peers` outlives it.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "core/metrics.h"
#include "mirror/coalesce.h"
#include "mirror/fetch_peers.h"
#include "mirror/grants.h"
#include "mirror/outcome.h"

namespace oxbow::mirror {

/// Whether a peer's word opens a repository to an asker who cannot be checked with upstream: without a credential, or
/// with the node's. A client's own credential says nothing here: it reads what everybody may.
bool opens(const p2p::KnownFacts& facts, upstream::IdentityKind kind) noexcept;

/// Upstream's failure, and the peers whose word stands in for its answer.
struct Outage {
  Failure failure;
  std::vector<p2p::PeerId> holders = {};
};

class PeerKnowledge {
 public:
  struct Options {
    std::size_t others = 8;                  ///< peers at random, besides the ranked ones of the key
    std::chrono::milliseconds budget{500};   ///< of a question, the bytes of small content too
    std::chrono::milliseconds patience{50};  ///< for further answers once there is one
  };
  PeerKnowledge(Options options, FetchPeers& peers, MetricsRegistry& metrics);

  struct Report {
    p2p::PeerId peer = p2p::kNoPeer;
    p2p::KnownFacts facts;
  };
  /// All that is heard of a tag or digest within the budget, all peers asked at once.
  Task<std::vector<Report>> known(RepositoryKey repository, std::string reference);

  /// The tag's owner asks upstream, or did lately. Nothing: this node is the owner, or the owner does not tell in time.
  Task<std::optional<p2p::KnownFacts>> ask_owner(RepositoryKey repository, std::string tag);
  bool owns(const RepositoryKey& repository, std::string_view tag) const;

  /// A manifest or small blob from one of the `holders`, else from whoever has it. Bytes that are not the digest's are
  /// not taken, and their sender is reported.
  Task<std::optional<storage::SmallBody>> small(Digest digest, std::vector<p2p::PeerId> holders);

 private:
  struct Round;
  static Task<> ask_one(std::shared_ptr<Round> round, FetchPeers& peers, p2p::PeerId peer,
                        p2p::PeerClient::KnownAsk ask, std::chrono::milliseconds timeout);
  Task<std::vector<Report>> ask_all(RepositoryKey repository, std::string reference);
  std::vector<p2p::PeerId> targets(p2p::Key key) const;
  void count(std::string_view what, bool found);

  const Options options_;
  FetchPeers& peers_;
  prometheus::Family<Counter>& questions_counter_;
  Counter& over_budget_;
  Coalesce<std::vector<Report>> questions_;
};

}  // namespace oxbow::mirror

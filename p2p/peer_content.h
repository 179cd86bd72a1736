// What the peer service needs of the node that it answers for: what is on its disk and what is arriving. `mirror/`
// implements it over storage and its fetches; the tests have a fake.
// Thread rule: any thread; bodies live on the loop that asked for them. Lifetime: outlives the service.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "core/digest.h"
#include "core/http/body.h"
#include "core/task.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

class PeerContent {
 public:
  virtual ~PeerContent() = default;

  /// What this node has of a blob; nothing: it does not know it. `midstates` only when it has hashed all of it.
  virtual std::optional<BlobFacts> facts(const Digest& digest, bool with_midstates) = 0;

  struct StripeAnswer {
    StripeFacts facts;
    std::unique_ptr<http::Body> body;  ///< facts.length bytes; waits while the stripe is arriving
  };
  /// The stripe from `offset` (in the stripe) on, when it is here or arriving. Errors: kNotFound, kInvalid (a stripe
  /// outside the blob, or of another size than `blob_bytes`).
  virtual Result<StripeAnswer> stripe(const Digest& digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                                      std::uint64_t offset, Loop& loop) = 0;

  /// A part of the have map around a stripe, for answers. Nothing: it does not know the blob, or with another size.
  virtual std::optional<HaveSlice> have_around(const Digest& digest, std::uint64_t blob_bytes,
                                               std::uint32_t stripe) = 0;

  /// What a have stream tells, as it changes. `current` is the whole map and what is arriving from upstream;
  /// `on_change` calls (any thread, spuriously too) when that may have changed. Null: the blob is not known here.
  class HaveWatch {
   public:
    virtual ~HaveWatch() = default;
    struct State {
      HaveMap have;
      std::vector<std::uint32_t> arriving;
      bool gone = false;  ///< evicted or purged: the stream ends
    };
    virtual State current() = 0;
    /// The checksum (hex) of a stripe that came from upstream itself.
    virtual std::optional<std::string> first_hand(std::uint32_t stripe) = 0;
    virtual void on_change(std::function<void()> changed) = 0;
  };
  virtual std::unique_ptr<HaveWatch> watch_have(const Digest& digest) = 0;

  /// `fingers`: a stripe that is not here, got from the first of the path (with the rest of it) and kept; without a
  /// path this node is its owner. Errors: kNotFound, and only then: the client has the lease and may fetch it from
  /// upstream; kBusy (nobody has it yet: ask again soon), kUnavailable (no source could be reached), kInvalid, kLimit.
  struct AlongAsk {
    std::vector<std::string> path;
    std::string client;                     ///< who asked first; empty: somebody who may not fetch from upstream
    std::uint32_t wants = 0;                ///< how many stripes from this one on it would fetch
    std::chrono::milliseconds deadline{0};  ///< until the answer begins
  };
  virtual Task<Result<StripeAnswer>> stripe_along(Digest digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                                                  std::uint64_t offset, AlongAsk ask) = 0;

  /// What this node knows of `reference`, a digest or a tag, in a repository. With `may_ask` (`tags_via = "owner"`) it
  /// asks upstream for a tag that it does not know freshly, with a right of its own: anonymous, or the configured one.
  /// Errors: kNotFound, kInvalid (no reference); with `may_ask` as upstream, and kDenied: it has no right of its own.
  virtual Task<Result<KnownFacts>> known(std::string registry, std::string repository, std::string reference,
                                         bool may_ask) = 0;

  /// Content that is kept whole: a manifest with its media type, a small blob. Null: not here.
  struct SmallAnswer {
    std::shared_ptr<const std::string> bytes;
    std::string media_type;  ///< empty: of a blob
  };
  virtual Task<SmallAnswer> small(Digest digest) = 0;
};

}  // namespace oxbow::p2p

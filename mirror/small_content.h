// Content that is fetched whole: manifests, and blobs of at most 64 KiB (image configs, small layers). Verified before
// the first byte is given, kept in the index, served from memory. Thread rule: all methods on the loop of the request.
// Lifetime: outlives the requests.
#pragma once

#include <memory>

#include "core/metrics.h"
#include "mirror/access.h"
#include "mirror/coalesce.h"
#include "storage/store.h"

namespace oxbow::mirror {

/// The `Warning` fields of an answer, bounded.
std::vector<std::string> warnings_of(const http::Headers& headers);

struct SmallContent {
  std::shared_ptr<const storage::SmallBody> body;
  bool from_storage = false;
  std::vector<std::string> warnings = {};  ///< upstream's `Warning` fields, for the client
  bool from_peers = false;
};

class SmallContents {
 public:
  SmallContents(storage::Store& store, Access& access, MetricsRegistry& metrics);

  using Fetch = Coalesce<Outcome<SmallContent>>::Run;
  /// How long to wait, and what goes on when that was not enough: others who ask join it, and what it brings is kept.
  struct Patience {
    std::chrono::steady_clock::time_point until = std::chrono::steady_clock::now() + kAnswerTimeout;
    std::shared_ptr<Fetch> late = {};  ///< with kTimeout, unless there is nothing to wait for
  };
  /// Errors as Access::ask; kCorrupt when upstream's bytes do not match the digest. `outage`: upstream has just failed
  /// for this request and peers' word has admitted it, so neither is asked again.
  Task<Outcome<SmallContent>> get(Asker asker, Digest digest, Access::Kind kind, std::optional<Outage> outage = {});
  Task<Outcome<SmallContent>> get(Asker asker, Digest digest, Access::Kind kind, std::optional<Outage> outage,
                                  Patience& patience);

  /// Takes a manifest that came with a tag: verified, kept, its children remembered. Errors: kCorrupt.
  Task<Outcome<SmallContent>> take(Asker asker, Digest digest, Access::Kind kind, upstream::WholeResponse answer);

  /// What is here already, without asking anybody.
  Task<std::shared_ptr<const storage::SmallBody>> stored(Digest digest);

 private:
  /// What is here, to those who may have it.
  Task<Outcome<SmallContent>> give(Asker asker, Digest digest, Access::Kind kind,
                                   std::shared_ptr<const storage::SmallBody> body);
  /// From upstream alone, as long as that may take.
  Task<Outcome<SmallContent>> fetch(Asker asker, Digest digest, Access::Kind kind);
  /// Upstream has failed, or lets us wait: what peers have, for those who may have it; else that failure.
  Task<Outcome<SmallContent>> fetch_from_peers(Asker asker, Digest digest, Access::Kind kind, Failure failure);
  Task<Outcome<SmallContent>> take_from_peers(Digest digest, Access::Kind kind, Outage outage);
  /// The digests that a manifest contains belong to its repository too. `media_type`: what that repository's own
  /// registry calls it; what is stored may have come from elsewhere.
  Task<> remember_children(Asker asker, std::shared_ptr<const storage::SmallBody> body, std::string media_type);

  storage::Store& store_;
  Access& access_;
  Counter& corrupt_;
  Counter& late_;
  Coalesce<Outcome<SmallContent>> fetches_;
};

}  // namespace oxbow::mirror

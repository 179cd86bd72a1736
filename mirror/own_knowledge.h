// What this node tells its peers of tags and digests, from its own exchanges with upstream: which repository a digest
// belongs to, whether that repository is open to this node without a client's credential, what a tag last pointed to,
// and small content. `mirror/peer_knowledge` is the side that asks.
// Thread rule: all methods on the loop of the request. Lifetime: outlives the requests.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "mirror/tags.h"
#include "p2p/protocol/messages.h"

namespace oxbow::mirror {

class OwnKnowledge {
 public:
  struct Parts {
    storage::Store& store;
    Access& access;
    SmallContents& contents;
    Tags& tags;
    std::function<std::shared_ptr<Registries>()> registries;
  };
  explicit OwnKnowledge(Parts parts) : parts_(std::move(parts)) {}

  /// `reference`: a tag or a digest. `may_ask`: a tag that was not seen lately is asked for at upstream, with the
  /// node's own right. Errors: kNotFound; kInvalid; with `may_ask` as Access::ask, and kDenied: without a right of its
  /// own.
  Task<Result<p2p::KnownFacts>> known(std::string registry, std::string repository, std::string reference,
                                      bool may_ask);
  /// Null: not here.
  Task<std::shared_ptr<const storage::SmallBody>> small(Digest digest) { return parts_.contents.stored(digest); }

 private:
  Task<Result<p2p::KnownFacts>> known_digest(Asker asker, Digest digest);
  Task<Result<p2p::KnownFacts>> known_tag(Asker asker, std::string tag, bool may_ask);
  p2p::KnownFacts facts_of(const Asker& asker, const Digest& digest) const;
  Task<std::optional<std::uint64_t>> size_of(Digest digest);

  Parts parts_;
};

}  // namespace oxbow::mirror

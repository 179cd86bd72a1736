// What this node has, as the peer service asks for it (p2p/peer_content.h): stored stripes, and those that are arriving
// from upstream. What a peer sent and nobody has checked is not spoken of; only along a path (`fingers`) it is passed
// on as it arrives. Thread rule and lifetime: as PeerContent.
#pragma once

#include <map>
#include <mutex>

#include "mirror/blobs.h"
#include "mirror/have_board.h"
#include "mirror/own_knowledge.h"
#include "p2p/peer_content.h"

namespace oxbow::mirror {

class PeerContents final : public p2p::PeerContent {
 public:
  /// `name`: this node's, as the publisher of midstates.
  PeerContents(Blobs& blobs, std::string name) : blobs_(blobs), name_(std::move(name)) {}

  std::optional<p2p::BlobFacts> facts(const Digest& digest, bool with_midstates) override;
  Result<StripeAnswer> stripe(const Digest& digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                              std::uint64_t offset, Loop& loop) override;
  std::optional<p2p::HaveSlice> have_around(const Digest& digest, std::uint64_t blob_bytes,
                                            std::uint32_t stripe) override;
  std::unique_ptr<HaveWatch> watch_have(const Digest& digest) override;
  Task<Result<StripeAnswer>> stripe_along(Digest digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                                          std::uint64_t offset, AlongAsk ask) override;
  Task<Result<p2p::KnownFacts>> known(std::string registry, std::string repository, std::string reference,
                                      bool may_ask) override;
  Task<SmallAnswer> small(Digest digest) override;

  /// Before requests; outlives them. Without it nothing is known.
  void set_knowledge(OwnKnowledge* knowledge) { knowledge_ = knowledge; }

 private:
  struct Passing;
  Task<Result<>> pass_on(const Passing& passing);
  Task<Result<>> act_as_owner(const Passing& passing);

  Blobs& blobs_;
  std::string name_;
  OwnKnowledge* knowledge_ = nullptr;
  std::mutex boards_mutex_;
  /// Of blobs that somebody follows, which keep them where they are.
  std::map<const storage::Blob*, std::weak_ptr<HaveBoard>> boards_;
};

}  // namespace oxbow::mirror

// What this node has, as the peer service asks for it (p2p/peer_content.h): stored stripes, and those that are arriving
// from upstream. What a peer sent and nobody has checked is not spoken of; only along a path (`fingers`) it is passed
// on as it arrives. Thread rule and lifetime: as PeerContent.
#pragma once

#include "mirror/blobs.h"
#include "p2p/peer_content.h"

namespace oxbow::mirror {

/// Which stripes of a blob may be given to others.
p2p::HaveMap have_map(const storage::Blob& blob, const BlobFetch* fetch);

class PeerContents final : public p2p::PeerContent {
 public:
  /// `name`: this node's, as the publisher of midstates.
  PeerContents(Blobs& blobs, std::string name) : blobs_(blobs), name_(std::move(name)) {}

  std::optional<p2p::BlobFacts> facts(const Digest& digest, bool with_midstates) override;
  Result<StripeAnswer> stripe(const Digest& digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                              std::uint64_t offset, Loop& loop) override;
  std::unique_ptr<HaveWatch> watch_have(const Digest& digest) override;
  Task<Result<StripeAnswer>> stripe_along(Digest digest, std::uint64_t blob_bytes, std::uint32_t stripe,
                                          std::uint64_t offset, AlongAsk ask) override;
  Task<Result<TagAnswer>> tag(std::string registry, std::string repository, std::string tag) override;

  /// Who asks for tags on behalf of others; until it is set the answer is kDenied.
  using AskTag = std::function<Task<Result<TagAnswer>>(std::string registry, std::string repository, std::string tag)>;
  void set_ask_tag(AskTag ask) { ask_tag_ = std::move(ask); }

 private:
  struct Passing;
  Task<Result<>> pass_on(const Passing& passing);
  Task<Result<>> act_as_owner(const Passing& passing);

  Blobs& blobs_;
  std::string name_;
  AskTag ask_tag_;
};

}  // namespace oxbow::mirror

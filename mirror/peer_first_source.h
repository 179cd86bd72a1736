// A blob from whoever has it, for a reader whose bytes cannot be kept on this node (window mode): stripe by stripe from
// peers that the coordinator names, and from upstream what none of them gives. Where the reader cannot verify what it
// gives, it is the other way round: upstream, and while that fails peers that say that they have verified the blob.
// Thread rule and lifetime: as SpanSource; `FetchPeers` outlives it.
#pragma once

#include "mirror/fetch_peers.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

class PeerFirstSource final : public SpanSource {
 public:
  enum class Order : std::uint8_t { kPeersFirst, kUpstreamFirst };
  PeerFirstSource(FetchPeers& peers, std::shared_ptr<SpanSource> upstream, const Digest& digest,
                  std::uint64_t blob_bytes, Order order)
      : peers_(peers), upstream_(std::move(upstream)), digest_(digest), geometry_(blob_bytes), order_(order) {}

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;
  Place place() const override { return upstream_->place(); }
  /// What peers have given so far; the rest was upstream's. On the loop of its requests.
  std::uint64_t peer_bytes() const noexcept { return peer_bytes_; }

 private:
  friend class PeerFirstRequest;
  FetchPeers& peers_;
  std::shared_ptr<SpanSource> upstream_;
  Digest digest_;
  Geometry geometry_;
  const Order order_;
  std::uint64_t peer_bytes_ = 0;
};

}  // namespace oxbow::mirror

// One stripe at a peer, as a SpanSource. Thread rule and lifetime: as SpanSource; made for one fetch.
#pragma once

#include "mirror/fetch_peers.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

class PeerSource final : public SpanSource {
 public:
  /// `ask`: what of it is the same whatever the range is: the blob, and the path for `fingers`.
  PeerSource(p2p::PeerClient& client, p2p::PeerId peer, p2p::StripeAsk ask, Geometry geometry)
      : client_(client), peer_(peer), ask_(std::move(ask)), geometry_(geometry) {}

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;
  std::vector<std::string> alternatives() const override { return alternatives_; }
  bool leased() const override { return leased_; }

 private:
  friend class PeerSpan;
  p2p::PeerClient& client_;
  p2p::PeerId peer_;
  p2p::StripeAsk ask_;
  Geometry geometry_;
  std::vector<std::string> alternatives_;
  bool leased_ = false;
};

}  // namespace oxbow::mirror

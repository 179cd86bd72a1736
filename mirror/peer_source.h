// One stripe at a peer, as a SpanSource. Thread rule and lifetime: as SpanSource; made for one fetch.
#pragma once

#include "mirror/fetch_peers.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

class PeerSource final : public SpanSource {
 public:
  PeerSource(p2p::PeerClient& client, p2p::PeerId peer, const Digest& digest, Geometry geometry,
             std::vector<std::string> path)
      : client_(client), peer_(peer), digest_(digest), geometry_(geometry), path_(std::move(path)) {}

  std::unique_ptr<SpanRequest> request(Loop& loop, ByteRange range, SpanSink& sink) override;
  std::vector<std::string> alternatives() const override { return alternatives_; }

 private:
  friend class PeerSpan;
  p2p::PeerClient& client_;
  p2p::PeerId peer_;
  Digest digest_;
  Geometry geometry_;
  std::vector<std::string> path_;
  std::vector<std::string> alternatives_;
};

}  // namespace oxbow::mirror

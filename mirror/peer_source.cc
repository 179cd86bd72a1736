#include "mirror/peer_source.h"

namespace oxbow::mirror {

class PeerSpan final : public SpanRequest, public p2p::StripeSink {
 public:
  PeerSpan(PeerSource& source, SpanSink& sink) : source_(source), sink_(sink) {}

  void start(Loop& loop, ByteRange range) {
    const auto stripe = source_.geometry_.stripe_at(range.begin);
    begin_ = source_.geometry_.stripe(stripe).begin;
    auto ask = source_.ask_;
    ask.blob_bytes = source_.geometry_.blob_bytes();
    ask.stripe = stripe;
    ask.offset = range.begin - begin_;
    call_ = source_.client_.stripe(source_.peer_, std::move(ask), loop, *this);
  }

  void resume() override { call_->resume(); }

  void on_news(const p2p::AnswerNews& news) override { sink_.on_news(news); }
  void on_head(const p2p::StripeFacts& facts) override {
    sink_.on_head({begin_ + facts.offset, false, facts.blob_bytes, facts.checksum_hex, facts.verified});
  }
  std::size_t on_data(std::span<const std::byte> bytes) override { return sink_.on_data(bytes); }
  void on_lease() override { source_.leased_ = true; }
  void on_done(Result<> outcome, std::vector<std::string> alternatives) override {
    source_.alternatives_ = std::move(alternatives);
    sink_.on_done(std::move(outcome));
  }

 private:
  PeerSource& source_;
  SpanSink& sink_;
  std::uint64_t begin_ = 0;
  std::unique_ptr<p2p::PeerCall> call_;
};

std::unique_ptr<SpanRequest> PeerSource::request(Loop& loop, ByteRange range, SpanSink& sink) {
  auto span = std::make_unique<PeerSpan>(*this, sink);
  span->start(loop, range);
  return span;
}

}  // namespace oxbow::mirror

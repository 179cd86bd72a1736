#include "fake_source.h"

namespace oxbow::mirror {

class FakeRequest final : public SpanRequest {
 public:
  FakeRequest(FakeSource& source, Loop& loop, ByteRange range, SpanSink& sink)
      : source_(source), timer_(loop), range_(range), sink_(sink) {
    const std::lock_guard lock(source_.mutex_);
    if (!source_.failures_.empty()) {
      failure_ = source_.failures_.front();
      source_.failures_.pop_front();
    }
    source_.ranges_.push_back(range);
    ++source_.requests_;
    if (source_.ignores_ranges_) range_ = {0, source_.content_.size()};
    later(std::chrono::milliseconds(0));
  }

  void resume() override { later(std::chrono::milliseconds(0)); }

 private:
  void later(std::chrono::milliseconds wait) {
    timer_.expires_after(wait);
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
      if (!cancelled && !alive.expired()) step();
    });
  }

  void step() {
    const std::weak_ptr alive(alive_);
    if (source_.held_) return later(std::chrono::milliseconds(2));
    if (source_.fail_always_ >= 0) return sink_.on_done(fail(static_cast<Errc>(source_.fail_always_.load()), "always"));
    if (!headed_) {
      headed_ = true;
      if (failure_ && failure_->after_bytes == 0) return sink_.on_done(fail(failure_->code, "injected"));
      sink_.on_head({range_.begin, source_.ignores_ranges_.load(), source_.content_.size()});
      if (alive.expired()) return;
    }
    if (failure_ && given_ >= failure_->after_bytes) return sink_.on_done(fail(failure_->code, "injected"));
    if (range_.empty()) return sink_.on_done({});
    if (given_ >= source_.hold_after_) return later(std::chrono::milliseconds(2));
    const auto part =
        std::string_view(source_.content_).substr(range_.begin, std::min<std::uint64_t>(16384, range_.size()));
    const auto taken = sink_.on_data(std::as_bytes(std::span(part)));
    if (alive.expired()) return;
    source_.bytes_given_ += taken;
    given_ += taken;
    range_.begin += taken;
    if (taken == part.size()) later(std::chrono::milliseconds(0));
  }

  FakeSource& source_;
  asio::steady_timer timer_;
  ByteRange range_;
  SpanSink& sink_;
  std::optional<FakeSource::Failure> failure_;
  bool headed_ = false;
  std::uint64_t given_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

std::unique_ptr<SpanRequest> FakeSource::request(Loop& loop, ByteRange range, SpanSink& sink) {
  return std::make_unique<FakeRequest>(*this, loop, range, sink);
}

}  // namespace oxbow::mirror

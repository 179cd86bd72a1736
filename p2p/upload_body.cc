#include "p2p/upload_body.h"

namespace oxbow::p2p {
namespace {

/// Small pieces keep a limited rate even.
constexpr std::size_t kLimitedPieceBytes = 64UL * 1024;
/// The least pause worth a timer.
constexpr std::chrono::milliseconds kLeastPause{2};

std::size_t bytes_of(const http::Piece& piece) noexcept {
  if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) return memory->bytes.size();
  if (const auto* file = std::get_if<http::FilePiece>(&piece)) return file->length;
  return 0;
}

class UploadBody final : public http::Body {
 public:
  UploadBody(Loop& loop, std::unique_ptr<http::Body> inner, std::optional<UploadSlots::Slot> slot, UploadRate& rate,
             Counter& bytes, const Clock& clock)
      : inner_(std::move(inner)), slot_(std::move(slot)), rate_(rate), bytes_(bytes), clock_(clock), timer_(loop) {}

  http::Piece next(std::size_t max_bytes) override {
    paused_ = clock_.steady() < resume_at_;
    if (paused_) return http::Wait{};
    auto piece = inner_->next(rate_.unlimited() ? max_bytes : std::min(max_bytes, kLimitedPieceBytes));
    if (const auto bytes = bytes_of(piece); bytes > 0) {
      bytes_.Increment(static_cast<double>(bytes));
      const auto now = clock_.steady();
      if (const auto pause = rate_.take(bytes, now); pause.count() > 0) resume_at_ = now + pause;
    }
    return piece;
  }

  void on_ready(std::move_only_function<void()> wake) override {
    if (!paused_) return inner_->on_ready(std::move(wake));
    timer_.expires_after(resume_at_ - clock_.steady());
    timer_.async_wait(
        [alive = std::weak_ptr(alive_), wake = std::move(wake)](const boost::system::error_code& error) mutable {
          if (!error && !alive.expired()) wake();
        });
  }

 private:
  std::unique_ptr<http::Body> inner_;
  std::optional<UploadSlots::Slot> slot_;
  UploadRate& rate_;
  Counter& bytes_;
  const Clock& clock_;
  asio::steady_timer timer_;
  Clock::Steady resume_at_{};
  bool paused_ = false;  ///< the last Wait was ours, not the inner body's
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace

std::chrono::nanoseconds UploadRate::take(std::size_t bytes, Clock::Steady now) {
  if (unlimited()) return std::chrono::nanoseconds(0);
  const std::lock_guard lock(mutex_);
  const auto pause = bucket_.take(bytes, now);
  if (pause < kLeastPause) return std::chrono::nanoseconds(0);
  hits_.Increment();
  return pause;
}

std::unique_ptr<http::Body> make_upload_body(Loop& loop, std::unique_ptr<http::Body> inner,
                                             std::optional<UploadSlots::Slot> slot, UploadRate& rate, Counter& bytes,
                                             const Clock& clock) {
  return std::make_unique<UploadBody>(loop, std::move(inner), std::move(slot), rate, bytes, clock);
}

}  // namespace oxbow::p2p

#include "p2p/upload_body.h"

namespace oxbow::p2p {
namespace {

/// Given at once: an asker has four times `stall` for it.
constexpr std::size_t kPieceBytes = 4 * kUploadStallBytes;
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
  UploadBody(Loop& loop, std::unique_ptr<http::Body> inner, std::optional<UploadSlots::Slot> slot,
             const UploadTerms& terms)
      : inner_(std::move(inner)), slot_(std::move(slot)), terms_(terms), timer_(loop), stall_timer_(loop) {
    offer(kUploadStallBytes);
  }

  http::Piece next(std::size_t max_bytes) override {
    due_.reset();
    if (stalled_) return http::Cut{Error(Errc::kTimeout, "too little of it was taken")};
    paused_ = terms_.clock.steady() < resume_at_;
    if (paused_) return http::Wait{};
    auto piece = inner_->next(std::min(max_bytes, terms_.rate.unlimited() ? kPieceBytes : kLimitedPieceBytes));
    if (const auto bytes = bytes_of(piece); bytes > 0) {
      terms_.bytes.Increment(static_cast<double>(bytes));
      const auto now = terms_.clock.steady();
      if (const auto pause = terms_.rate.take(bytes, now); pause.count() > 0) resume_at_ = now + pause;
      offer(bytes);
    }
    return piece;
  }

  void on_ready(std::move_only_function<void()> wake) override {
    // From then on it is the asker again who is waited for.
    auto ready = [this, wake = std::move(wake)]() mutable {
      offer(kUploadStallBytes);
      wake();
    };
    if (!paused_) return inner_->on_ready(std::move(ready));
    timer_.expires_after(resume_at_ - terms_.clock.steady());
    timer_.async_wait(
        [alive = std::weak_ptr(alive_), ready = std::move(ready)](const boost::system::error_code& error) mutable {
          if (!error && !alive.expired()) ready();
        });
  }

 private:
  /// So much is there to be taken before it is asked for more.
  void offer(std::size_t bytes) {
    if (!slot_) return;
    const auto parts = (bytes + kUploadStallBytes - 1) / kUploadStallBytes;
    due_ = terms_.clock.steady() + terms_.stall * static_cast<int>(parts);
    watch();
  }

  void watch() {
    if (std::exchange(watching_, true)) return;
    stall_timer_.expires_after(terms_.stall);
    stall_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
      if (error || alive.expired()) return;
      watching_ = false;
      if (!due_) return;
      if (terms_.clock.steady() < *due_) return watch();
      stalled_ = true;
      slot_.reset();
      terms_.stall_hits.Increment();
    });
  }

  std::unique_ptr<http::Body> inner_;
  std::optional<UploadSlots::Slot> slot_;
  const UploadTerms terms_;
  asio::steady_timer timer_;
  asio::steady_timer stall_timer_;
  Clock::Steady resume_at_{};
  std::optional<Clock::Steady> due_;  ///< by when what is there is taken
  bool paused_ = false;               ///< the last Wait was ours, not the inner body's
  bool watching_ = false;
  bool stalled_ = false;
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
                                             std::optional<UploadSlots::Slot> slot, const UploadTerms& terms) {
  return std::make_unique<UploadBody>(loop, std::move(inner), std::move(slot), terms);
}

}  // namespace oxbow::p2p

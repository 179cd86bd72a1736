#include "mirror/stripe_body.h"

namespace oxbow::mirror {

StripeBody::StripeBody(std::shared_ptr<storage::Blob> blob, std::shared_ptr<BlobFetch> fetch, ByteRange range,
                       Loop& loop, bool forwarded)
    : blob_(std::move(blob)),
      fetch_(std::move(fetch)),
      range_(range),
      forwarded_(forwarded),
      stripe_(blob_->geometry().stripe_at(range.begin)),
      position_(range.begin),
      waker_(std::make_shared<Waker>(loop)),
      progress_(std::make_shared<Waker>(loop, kProgressEvery)) {
  const auto ready = [this] {
    if (auto wake = std::exchange(on_ready_, nullptr)) wake();
  };
  waker_->set(ready);
  progress_->set(ready);
  if (!fetch_) return;
  subscription_ = blob_->on_progress([waker = progress_] { waker->wake(); });
  stopped_ = fetch_->on_change([waker = waker_] { waker->wake(); });
}

StripeBody::~StripeBody() {
  subscription_.reset();
  stopped_.reset();
  waker_->clear();
  progress_->clear();
}

bool StripeBody::still_coming() const {
  if (!fetch_ || blob_->gone()) return false;
  if (forwarded_ && fetch_->is_coming(stripe_)) return true;
  return fetch_->marks().at(stripe_) == StripeMark::kFromUpstream && fetch_->is_arriving(stripe_);
}

http::Piece StripeBody::next(std::size_t max_bytes) {
  if (position_ == range_.end) return http::End{};
  if (preparing_) {
    const auto outcome = preparing_->outcome();
    if (!outcome) return http::Wait{};
    preparing_.reset();
    if (!*outcome) return http::Cut{outcome->error()};
  }
  const auto ready = blob_->readable(position_, std::min<std::uint64_t>(max_bytes, range_.end - position_));
  // Asked after `readable`: a writer that has another's bytes is marked before they can be read.
  if (!forwarded_ && fetch_ && fetch_->marks().at(stripe_) == StripeMark::kUnchecked)
    return http::Cut{Error(Errc::kUnavailable, "the stripe goes on from another source, and nobody has checked it")};
  if (ready == 0) {
    // Asked in this order: what stopped arriving may have become whole between the two questions.
    if (still_coming() || blob_->has(stripe_)) return http::Wait{};
    return http::Cut{Error(Errc::kUnavailable, "the stripe has stopped arriving here")};
  }
  const ByteRange piece{position_, position_ + ready};
  preparing_ = prepare_range(*blob_, piece, waker_);
  if (preparing_) return http::Wait{};
  auto pinned = blob_->acquire(piece);
  if (!pinned) return http::Cut{std::move(pinned.error())};
  position_ = piece.end;
  return http::FilePiece{pinned->fd, piece.begin, static_cast<std::size_t>(ready), pinned->pin};
}

}  // namespace oxbow::mirror

#include "mirror/window_stream.h"

namespace oxbow::mirror {
namespace {

constexpr std::chrono::milliseconds kBackoffMin{100};
constexpr std::chrono::milliseconds kBackoffMax{2'000};

bool may_retry(Errc code) noexcept {
  return code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kThrottled || code == Errc::kLimit;
}

}  // namespace

WindowStream::WindowStream(Options options, std::shared_ptr<SpanSource> source, const Clock& clock,
                           WindowMemory& memory, std::shared_ptr<Waker> waker)
    : options_(std::move(options)),
      source_(std::move(source)),
      clock_(clock),
      memory_(memory),
      waker_(std::move(waker)),
      retry_(waker_->loop()),
      received_(options_.range.begin),
      incoming_(options_.range.begin),
      last_progress_(clock.steady()) {
  memory_.join();
  request();
}

WindowStream::~WindowStream() {
  request_.reset();
  memory_.leave();
}

void WindowStream::request() {
  incoming_ = received_;
  paused_ = false;
  request_ = source_->request(waker_->loop(), {received_, options_.range.end}, *this);
}

void WindowStream::on_head(const SpanHead& head) {
  if (auto right = check_head(head, options_.blob_bytes, received_); !right) {
    failure_ = std::move(right.error());
    waker_->wake();
    return;
  }
  incoming_ = head.begin;
}

std::size_t WindowStream::on_data(std::span<const std::byte> bytes) {
  if (failure_) return bytes.size();
  last_progress_ = clock_.steady();
  backoff_ = {};
  const auto given = bytes.size();
  if (incoming_ < received_) {
    const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(given, received_ - incoming_));
    incoming_ += skipped;
    bytes = bytes.subspan(skipped);
  }
  bytes = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), options_.range.end - received_)));
  if (bytes.empty()) return given;
  if (buffered_ >= memory_.share()) {
    paused_ = true;
    return given - bytes.size();
  }
  if (!feed(bytes)) {
    waker_->wake();
    return given;
  }
  chunks_.push_back(std::make_shared<const std::string>(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  buffered_ += bytes.size();
  received_ += bytes.size();
  incoming_ += bytes.size();
  waker_->wake();
  return given;
}

bool WindowStream::feed(std::span<const std::byte> bytes) {
  if (!options_.hasher) return true;
  const auto hashed = options_.hasher->bytes();
  if (hashed > received_ + bytes.size()) return true;
  options_.hasher->update(bytes.subspan(static_cast<std::size_t>(hashed - received_)));
  if (received_ + bytes.size() < options_.blob_bytes) return true;
  if (options_.hasher->digest() == options_.digest) return true;
  failure_ = Error(Errc::kCorrupt, "upstream's bytes hash to " + options_.hasher->digest().to_string());
  return false;
}

void WindowStream::on_done(Result<> outcome) {
  request_.reset();
  if (failure_ || received_ == options_.range.end) return;
  retry_later(outcome ? Error(Errc::kUnavailable, "the source ended early") : outcome.error());
}

void WindowStream::retry_later(Error error) {
  if (!may_retry(error.code()) || clock_.steady() - last_progress_ >= options_.no_progress) {
    failure_ = std::move(error);
    waker_->wake();
    return;
  }
  backoff_ = std::clamp(backoff_ * 2, kBackoffMin, kBackoffMax);
  retry_.expires_after(backoff_);
  // A timer that has expired already runs even when it is cancelled now, so the handler asks whether we still are.
  retry_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
    if (!cancelled && !alive.expired()) request();
  });
}

http::Piece WindowStream::next(std::size_t max_bytes) {
  // After a mismatch nothing more is given, so that the response stays short.
  if (failure_) return http::Cut{*failure_};
  if (chunks_.empty()) return received_ == options_.range.end ? http::Piece(http::End{}) : http::Piece(http::Wait{});
  const auto front = chunks_.front();
  auto part = std::string_view(*front).substr(front_used_, max_bytes);
  front_used_ += part.size();
  buffered_ -= part.size();
  if (front_used_ == front->size()) {
    chunks_.pop_front();
    front_used_ = 0;
  }
  if (paused_ && buffered_ <= memory_.share() / 2) {
    paused_ = false;
    if (request_) request_->resume();
  }
  return http::MemoryPiece{part, front};
}

}  // namespace oxbow::mirror

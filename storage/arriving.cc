#include "storage/arriving.h"

#include <cerrno>

namespace oxbow::storage {

Arriving::~Arriving() {
  OXBOW_INVARIANT(flight_.empty());
  std::vector<std::byte*> chunks;
  chunks.reserve(queue_.size());
  for (const auto& piece : queue_) chunks.push_back(piece.chunk);
  static_cast<void>(arena_.release(chunks));
}

std::uint64_t Arriving::accepted() const {
  const std::lock_guard lock(mutex_);
  return accepted_;
}

std::optional<Error> Arriving::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

bool Arriving::idle() const {
  const std::lock_guard lock(mutex_);
  return !in_flight_ && queue_.empty() && flight_.empty();
}

Checksum Arriving::checksum() const {
  const std::lock_guard lock(mutex_);
  return sum_.value();
}

Arriving::Taken Arriving::take(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  if (error_) return Taken::kRefused;
  OXBOW_INVARIANT(bytes.size() <= stripe_.end - accepted_);
  const std::size_t tail_room = queue_.empty() ? 0 : kChunkBytes - queue_.back().end;
  std::vector<std::byte*> chunks;
  if (bytes.size() > tail_room && !arena_.take((bytes.size() - tail_room + kChunkBytes - 1) / kChunkBytes, chunks)) {
    return Taken::kArenaFull;
  }
  take_locked(bytes, chunks);
  return Taken::kYes;
}

void Arriving::take_locked(std::span<const std::byte> bytes, std::vector<std::byte*>& chunks) {
  accepted_ += bytes.size();
  auto next = chunks.begin();
  while (!bytes.empty()) {
    if (queue_.empty() || queue_.back().end == kChunkBytes) queue_.push_back({.chunk = *next++, .begin = 0, .end = 0});
    Piece& tail = queue_.back();
    const std::size_t count = std::min<std::size_t>(bytes.size(), kChunkBytes - tail.end);
    std::memcpy(tail.chunk + tail.end, bytes.data(), count);
    tail.end += static_cast<std::uint32_t>(count);
    bytes = bytes.subspan(count);
  }
}

std::optional<Arriving::Flight> Arriving::depart() {
  const std::lock_guard lock(mutex_);
  if (in_flight_ || error_) return std::nullopt;
  // A short write leaves its rest in flight_: that goes first, and alone.
  if (flight_.empty()) {
    while (!queue_.empty() && flight_.size() < kFlightBytes / kChunkBytes) {
      flight_.push_back(queue_.front());
      queue_.pop_front();
    }
  }
  if (flight_.empty()) return std::nullopt;
  parts_.clear();
  for (const auto& piece : flight_)
    parts_.push_back({.iov_base = piece.chunk + piece.begin, .iov_len = piece.end - piece.begin});
  in_flight_ = true;
  return Flight{.parts = parts_, .offset = watermark()};
}

Arriving::Landing Arriving::landed(std::int64_t bytes_or_errno) {
  Landing landing;
  std::vector<std::byte*> released;
  // While the flight is on, nobody else touches it: no lock for the hashing.
  if (bytes_or_errno > 0) hash(static_cast<std::uint64_t>(bytes_or_errno));
  {
    const std::lock_guard lock(mutex_);
    in_flight_ = false;
    if (bytes_or_errno > 0) {
      advance(static_cast<std::uint64_t>(bytes_or_errno), released);
      // Refused meanwhile: what did not land is of no use.
      if (error_) fail_locked(*error_, released);
    } else {
      const int error = bytes_or_errno == 0 ? EIO : static_cast<int>(-bytes_or_errno);
      fail_locked(errno_error(error, "write"), released);
      landing.error = error_;
    }
    landing.complete = watermark() == stripe_.end;
  }
  landing.wake_arena = arena_.release(released);
  return landing;
}

void Arriving::hash(std::uint64_t bytes) {
  for (const auto& piece : flight_) {
    const auto count = std::min<std::uint64_t>(bytes, piece.end - piece.begin);
    sum_.update({piece.chunk + piece.begin, count});
    bytes -= count;
  }
}

void Arriving::advance(std::uint64_t bytes, std::vector<std::byte*>& released) {
  std::uint64_t left = bytes;
  while (left > 0) {
    OXBOW_INVARIANT(!flight_.empty());
    Piece& piece = flight_.front();
    const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, piece.end - piece.begin));
    piece.begin += count;
    left -= count;
    if (piece.begin < piece.end) break;
    released.push_back(piece.chunk);
    flight_.pop_front();
  }
  watermark_.store(watermark() + bytes, std::memory_order_release);
}

void Arriving::fail_locked(Error error, std::vector<std::byte*>& released) {
  for (const auto& piece : queue_) released.push_back(piece.chunk);
  queue_.clear();
  if (!in_flight_) {
    for (const auto& piece : flight_) released.push_back(piece.chunk);
    flight_.clear();
  }
  accepted_ = watermark();
  if (!error_) error_ = std::move(error);
}

Arriving::Landing Arriving::refuse(Error error) {
  Landing landing;
  std::vector<std::byte*> released;
  {
    const std::lock_guard lock(mutex_);
    fail_locked(std::move(error), released);
    landing.error = error_;
  }
  landing.wake_arena = arena_.release(released);
  return landing;
}

bool Arriving::restart() {
  const std::lock_guard lock(mutex_);
  if (!error_) return true;
  if (in_flight_) return false;
  error_.reset();
  accepted_ = watermark();
  return true;
}

}  // namespace oxbow::storage

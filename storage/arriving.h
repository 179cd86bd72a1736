// A stripe on its way into the file: what its writers have handed in, in order, and how much of it is in the file.
// The watermark moves only after the write has completed; the checksum follows it. One write is in flight at a time, of
// everything that has gathered meanwhile, up to kFlightBytes.
// Thread rule: every method from any thread. Writers come one after the other; what one has handed in is written also
// when it has gone.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"
#include "core/sha.h"
#include "storage/arena.h"

namespace oxbow::storage {

class Arriving {
 public:
  static constexpr std::size_t kFlightBytes = 1024UL * 1024;

  Arriving(WriteArena& arena, ByteRange stripe)
      : arena_(arena), stripe_(stripe), accepted_(stripe.begin), watermark_(stripe.begin) {}
  ~Arriving();
  Arriving(const Arriving&) = delete;
  Arriving& operator=(const Arriving&) = delete;

  ByteRange stripe() const noexcept { return stripe_; }
  std::uint64_t watermark() const noexcept { return watermark_.load(std::memory_order_acquire); }
  std::uint64_t accepted() const;
  std::optional<Error> error() const;

  enum class Taken { kYes, kArenaFull, kRefused };
  /// Copies. `bytes` end inside the stripe.
  Taken take(std::span<const std::byte> bytes);
  /// The next write, or nothing (none is needed, or one is in flight). Its parts stay valid until `landed`.
  struct Flight {
    std::span<const iovec> parts;
    std::uint64_t offset;
  };
  std::optional<Flight> depart();
  struct Landing {
    bool wake_arena = false;
    bool complete = false;  ///< the last byte is in the file
    std::optional<Error> error;
  };
  /// What became of the flight: a byte count, or -errno. After an error the queue is dropped and everything refused.
  Landing landed(std::int64_t bytes_or_errno);
  /// Refuses everything from now on and drops the queue (the blob is gone, or its file cannot be opened).
  Landing refuse(Error error);
  /// After an error: a new writer begins where the file ends. False while a write is in flight.
  bool restart();
  bool idle() const;
  Checksum checksum() const;

 private:
  struct Piece {
    std::byte* chunk;
    std::uint32_t begin;
    std::uint32_t end;
  };
  void take_locked(std::span<const std::byte> bytes, std::vector<std::byte*>& chunks);
  void hash(std::uint64_t bytes);
  void advance(std::uint64_t bytes, std::vector<std::byte*>& released);
  void fail_locked(Error error, std::vector<std::byte*>& released);

  WriteArena& arena_;
  const ByteRange stripe_;
  mutable std::mutex mutex_;
  std::deque<Piece> queue_;
  std::deque<Piece> flight_;
  std::vector<iovec> parts_;
  bool in_flight_ = false;
  std::uint64_t accepted_;
  std::atomic<std::uint64_t> watermark_;
  ChecksumState sum_;
  std::optional<Error> error_;
};

}  // namespace oxbow::storage

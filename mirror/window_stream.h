// Window mode: the bytes cannot be kept, so one reader gets its own bounded window in memory,
// straight from its source. Resumes by range after failures, gives up when no byte came for too long, and checks the
// digest on the way when it has seen the whole prefix: then the last byte is withheld until it fits. Thread rule: one
// loop. Lifetime: destroying it ends its request.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "core/clock.h"
#include "core/http/body.h"
#include "core/metrics.h"
#include "core/sha.h"
#include "core/waker.h"
#include "mirror/span_source.h"

namespace oxbow::mirror {

inline constexpr std::size_t kWindowBytes = 1024UL * 1024;  ///< where the memory for windows is enough
inline constexpr std::size_t kLeastWindowBytes = 16UL * 1024;

/// The memory of all windows of a node, shared out evenly. Thread rule: any thread. Lifetime: outlives the windows.
class WindowMemory {
 public:
  /// `hits` counts windows that began with less than they would have had alone.
  WindowMemory(std::size_t bytes, Counter& hits) : bytes_(bytes), hits_(hits) {}

  void join() {
    ++windows_;
    if (share() < kWindowBytes) hits_.Increment();
  }
  void leave() { --windows_; }
  /// For each window; a piece more may be in it.
  std::size_t share() const noexcept {
    return std::clamp(bytes_ / std::max<std::size_t>(windows_, 1), kLeastWindowBytes, kWindowBytes);
  }

 private:
  const std::size_t bytes_;
  Counter& hits_;
  std::atomic<std::size_t> windows_ = 0;
};

class WindowStream final : public SpanSink {
 public:
  struct Options {
    Digest digest;
    std::uint64_t blob_bytes = 0;
    ByteRange range;
    /// The hash of a prefix: bytes from its position on are fed to it. Nothing: this reader cannot verify.
    std::optional<Hasher> hasher;
    std::chrono::milliseconds no_progress{8'000};
  };

  WindowStream(Options options, std::shared_ptr<SpanSource> source, const Clock& clock, WindowMemory& memory,
               std::shared_ptr<Waker> waker);
  ~WindowStream() override;

  /// MemoryPiece, Wait, End or Cut.
  http::Piece next(std::size_t max_bytes);

  void on_head(const SpanHead& head) override;
  std::size_t on_data(std::span<const std::byte> bytes) override;
  void on_done(Result<> outcome) override;

 private:
  void request();
  void retry_later(Error error);
  bool feed(std::span<const std::byte> bytes);

  Options options_;
  std::shared_ptr<SpanSource> source_;
  const Clock& clock_;
  WindowMemory& memory_;
  std::shared_ptr<Waker> waker_;
  asio::steady_timer retry_;
  std::deque<std::shared_ptr<const std::string>> chunks_;
  std::size_t front_used_ = 0;
  std::size_t buffered_ = 0;
  std::uint64_t received_;  ///< next byte of the blob expected in the buffer
  std::uint64_t incoming_;  ///< where the running request stands; behind received_ when a source knows no ranges
  bool paused_ = false;
  std::optional<Error> failure_;
  Clock::Steady last_progress_;
  std::chrono::milliseconds backoff_{0};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<SpanRequest> request_;
};

}  // namespace oxbow::mirror

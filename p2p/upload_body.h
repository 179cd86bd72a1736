// A stripe on its way to a peer: holds the upload slot while it lives and its asker takes it, counts the bytes, and
// keeps the rate that all uploads share. Thread rule: as http::Body. Lifetime: what it refers to outlives it.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

#include "core/clock.h"
#include "core/http/body.h"
#include "core/metrics.h"
#include "core/task.h"
#include "core/token_bucket.h"
#include "p2p/upload_slots.h"

namespace oxbow::p2p {

/// The rate of all uploads together. Thread rule: any thread.
class UploadRate {
 public:
  UploadRate(std::uint64_t bytes_per_s, Counter& hits) : bucket_(bytes_per_s), hits_(hits) {}
  bool unlimited() const noexcept { return bucket_.unlimited(); }
  /// Accounts `bytes` that were given out, and says how long to give nothing afterwards.
  std::chrono::nanoseconds take(std::size_t bytes, Clock::Steady now);

 private:
  std::mutex mutex_;
  TokenBucket bucket_;
  Counter& hits_;
};

/// The least that an asker takes in each `stall` of what is there for it. Else a few bytes now and then, by a window or
/// by the socket, would hold a slot for good: it is given up, and the body is cut where it is asked for more. 64 KiB in
/// 10 s are 52 kbit/s. A body that waits, for its bytes or for the rate, holds its slot.
inline constexpr std::size_t kUploadStallBytes = 64UL * 1024;

/// Of all uploads of a node.
struct UploadTerms {
  UploadRate& rate;
  Counter& bytes;
  std::chrono::milliseconds stall;
  Counter& stall_hits;
  const Clock& clock;
};

std::unique_ptr<http::Body> make_upload_body(Loop& loop, std::unique_ptr<http::Body> inner,
                                             std::optional<UploadSlots::Slot> slot, const UploadTerms& terms);

}  // namespace oxbow::p2p

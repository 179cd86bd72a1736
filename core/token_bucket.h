// A rate of bytes as a token bucket that may go into debt: what has moved is accounted, and the answer is how long to
// move nothing afterwards. Thread rule: one thread at a time; the owner locks.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace oxbow {

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// 0: unlimited.
  explicit TokenBucket(std::uint64_t bytes_per_s = 0) noexcept : bytes_per_s_(bytes_per_s) {}

  bool unlimited() const noexcept { return bytes_per_s_ == 0; }

  std::chrono::nanoseconds take(std::size_t bytes, Time now) noexcept {
    using std::chrono::nanoseconds;
    if (unlimited()) return nanoseconds(0);
    paid_ =
        std::max(paid_, now - kBurst) +
        nanoseconds(static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(bytes_per_s_)));
    return paid_ - now;
  }

 private:
  /// Credit that an idle bucket keeps.
  static constexpr std::chrono::milliseconds kBurst{50};

  std::uint64_t bytes_per_s_;
  Time paid_{};  ///< when what was taken so far is paid for
};

}  // namespace oxbow

// The longest of some waits lately; half of it is forgotten every two seconds. How late things come on full links and
// busy machines is judged by it: who waits longer than several of them waits in vain. Thread rule: plain value.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

#include "p2p/strategy.h"

namespace oxbow::p2p {

class LongestWait {
 public:
  using milliseconds = std::chrono::milliseconds;

  void note(milliseconds wait, Time now) noexcept {
    noted_ = known(now) ? std::min(noted_ + 1, kEnough) : 1;
    last_ = now;
    const auto ms = static_cast<double>(wait.count());
    if (ms < at(now)) return;
    longest_ms_ = ms;
    since_ = now;
  }
  /// Four times it, for the next one may be longer still.
  milliseconds several(Time now) const noexcept { return milliseconds(static_cast<std::int64_t>(4 * at(now))); }
  /// The same within bounds; `most` until enough are known.
  milliseconds several(Time now, milliseconds least, milliseconds most) const noexcept {
    return noted_ == kEnough && known(now) ? std::clamp(several(now), least, most) : most;
  }

 private:
  static constexpr double kHalvesEveryMs = 2'000;
  static constexpr std::uint32_t kEnough = 3;
  static constexpr milliseconds kKnownFor{10'000};

  bool known(Time now) const noexcept { return now - last_ < kKnownFor; }
  double at(Time now) const noexcept {
    return longest_ms_ * std::exp2(-static_cast<double>((now - since_).count()) / kHalvesEveryMs);
  }

  double longest_ms_ = 0;
  Time since_{0};
  Time last_{0};
  std::uint32_t noted_ = 0;
};

}  // namespace oxbow::p2p

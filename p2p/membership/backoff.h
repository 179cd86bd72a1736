// How long to wait before the next try.
// Thread rule: one thread at a time. Units: milliseconds.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace oxbow::p2p {

/// Never shorter than the first, doubled up to the last, with up to a half of jitter: a store that comes back is not
/// met by all nodes in one moment.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds last) : first_(first), last_(last) {}
  std::chrono::milliseconds next() {
    now_ = std::clamp(now_ * 2, first_, last_);
    return now_ + std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(0, now_.count() / 2)(random_));
  }
  void reset() { now_ = std::chrono::milliseconds(0); }

 private:
  const std::chrono::milliseconds first_, last_;
  std::chrono::milliseconds now_{0};
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace oxbow::p2p

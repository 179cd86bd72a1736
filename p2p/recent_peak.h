// The greatest of some values lately, in the caller's unit: half of one is forgotten every two seconds. How late things
// come on full links is judged by it. Thread rule: plain value.
#pragma once

#include <cmath>

#include "p2p/strategy.h"

namespace oxbow::p2p {

class RecentPeak {
 public:
  void note(double value, Time now) noexcept {
    if (value < at(now)) return;
    value_ = value;
    noted_ = now;
  }
  double at(Time now) const noexcept {
    return value_ * std::exp2(-static_cast<double>((now - noted_).count()) / kHalvesEveryMs);
  }

 private:
  static constexpr double kHalvesEveryMs = 2'000;
  double value_ = 0;
  Time noted_{0};
};

}  // namespace oxbow::p2p

// One axis of a plot: its range, where its ticks are, what they are called. Linear ticks are 1, 2 or 5 times a power of
// ten (Heckbert, "Nice numbers for graph labels", 1990); logarithmic ones are decades, with 2 and 5 when there are few.
// Thread rule: plain value.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace oxbow::p2p::sim {

class Axis {
 public:
  /// Covers `values` that can be shown on it (finite, above 0 when logarithmic); a linear axis starts at 0 when all
  /// values are positive and 0 is near.
  Axis(std::span<const double> values, bool log);

  static bool can_show(double value, bool log) noexcept;
  /// 0 at the start of the axis, 1 at its end.
  double place(double value) const noexcept;
  const std::vector<double>& ticks() const noexcept { return ticks_; }

 private:
  void make_linear(double low, double high);
  void make_logarithmic(double low, double high);

  bool log_;
  double low_ = 0;
  double high_ = 1;
  std::vector<double> ticks_;
};

/// 0.5, 20, 1.5k, 100k, 2M: as short as it can be read.
std::string tick_label(double value);

}  // namespace oxbow::p2p::sim

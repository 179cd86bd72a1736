#include "p2p/sim/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace oxbow::p2p::sim {
namespace {

constexpr int kTicks = 6;          // about so many
constexpr double kFewDecades = 2;  // below: 2 and 5 are shown too
constexpr double kNearZero = 0.5;  // an axis whose values begin below half of its end starts at 0

double nice_step(double range) {
  const double raw = range / kTicks;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  const double first = raw / power;
  return power * (first <= 1 ? 1 : first <= 2 ? 2 : first <= 5 ? 5 : 10);
}

}  // namespace

Axis::Axis(std::span<const double> values, bool log) : log_(log) {
  double low = HUGE_VAL;
  double high = -HUGE_VAL;
  for (const double value : values) {
    if (!can_show(value, log)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) low = high = 1;  // nothing to show: an empty frame
  if (log)
    make_logarithmic(low, high);
  else
    make_linear(low, high);
}

bool Axis::can_show(double value, bool log) noexcept { return std::isfinite(value) && (!log || value > 0); }

void Axis::make_linear(double low, double high) {
  if (low > 0 && low < kNearZero * high) low = 0;
  if (low == high) {
    low = std::min(0.0, low);
    high = high > low ? high : low + 1;
  }
  const double step = nice_step(high - low);
  const auto first = static_cast<long>(std::floor(low / step + 1e-9));
  const auto last = static_cast<long>(std::ceil(high / step - 1e-9));
  for (auto i = first; i <= last; ++i) ticks_.push_back(static_cast<double>(i) * step);
  low_ = ticks_.front();
  high_ = ticks_.back();
}

void Axis::make_logarithmic(double low, double high) {
  constexpr double kMultiples[] = {1, 2, 5};
  const bool fine = std::log10(high / low) < kFewDecades;
  const auto first = static_cast<int>(std::floor(std::log10(low) + 1e-9));
  const auto last = static_cast<int>(std::ceil(std::log10(high) - 1e-9));
  std::vector<double> all;
  for (auto decade = first; decade <= std::max(last, first + 1); ++decade) {
    for (const double multiple : kMultiples)
      if (multiple == 1 || fine) all.push_back(multiple * std::pow(10.0, decade));
  }
  // The last tick at or below the lowest value to the first at or above the highest.
  auto from = std::ranges::upper_bound(all, low * (1 + 1e-9));
  if (from != all.begin()) --from;
  auto to = std::ranges::lower_bound(all, high * (1 - 1e-9));
  if (to == all.end()) --to;
  if (to <= from) to = from + 1;
  ticks_.assign(from, to + 1);
  low_ = std::log10(ticks_.front());
  high_ = std::log10(ticks_.back());
}

double Axis::place(double value) const noexcept { return ((log_ ? std::log10(value) : value) - low_) / (high_ - low_); }

std::string tick_label(double value) {
  constexpr struct {
    double at;
    const char* unit;
  } kUnits[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
  for (const auto& [at, unit] : kUnits)
    if (std::abs(value) >= at * (1 - 1e-9)) return fmt::format("{:.4g}{}", value / at, unit);
  return std::abs(value) < 1e-12 ? "0" : fmt::format("{:.4g}", value);
}

}  // namespace oxbow::p2p::sim

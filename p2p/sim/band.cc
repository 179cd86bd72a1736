#include "p2p/sim/band.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace oxbow::p2p::sim {

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const double rank = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const auto above = std::min(below + 1, values.size() - 1);
  return values[below] + (rank - static_cast<double>(below)) * (values[above] - values[below]);
}

Band band_of(std::span<const double> values) {
  OXBOW_INVARIANT(!values.empty());
  std::vector<double> sorted(values.begin(), values.end());
  Band out;
  out.p5 = quantile(sorted, 0.05);
  out.p95 = quantile(sorted, 0.95);
  // Summed in the order of the seeds: floating point sums depend on it.
  for (const double value : values) out.mean += value;
  out.mean /= static_cast<double>(values.size());
  return out;
}

std::string to_string(const Band& band, int digits) {
  return fmt::format("{:.{}f} [{:.{}f}, {:.{}f}]", band.mean, digits, band.p5, digits, band.p95, digits);
}

}  // namespace oxbow::p2p::sim

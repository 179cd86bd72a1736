// A figure over several seeds: mean and the 5th and 95th percentile (linear interpolation between ranks).
// Thread rule and lifetime: plain values.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace oxbow::p2p::sim {

struct Band {
  double mean = 0;
  double p5 = 0;
  double p95 = 0;
  /// Zero is inside: the sign of the mean says nothing.
  bool crosses_zero() const noexcept { return p5 <= 0 && p95 >= 0; }
};

/// Requires a value at least.
Band band_of(std::span<const double> values);
/// `q` in [0, 1]; sorts `values`. 0 for none.
double quantile(std::vector<double>& values, double q);
/// "1.650 [1.636, 1.670]"
std::string to_string(const Band& band, int digits);

}  // namespace oxbow::p2p::sim

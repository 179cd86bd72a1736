#include "p2p/sim/popularity.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kUnit = 1U << 30U;  // 2^30 x 2^20 items stay far below 2^53

}  // namespace

Popularity::Popularity(std::uint32_t items, double alpha) {
  OXBOW_INVARIANT(items > 0);
  up_to_.reserve(items);
  std::uint64_t sum = 0;
  for (std::uint32_t item = 0; item < items; ++item) {
    sum += std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(kUnit / std::pow(item + 1.0, alpha))));
    up_to_.push_back(sum);
  }
}

std::uint32_t Popularity::draw(Random& random) const {
  const auto at = static_cast<std::uint64_t>(random.uniform() * static_cast<double>(up_to_.back()));
  const auto found = std::ranges::upper_bound(up_to_, std::min(at, up_to_.back() - 1));
  return static_cast<std::uint32_t>(found - up_to_.begin());
}

double Popularity::share(std::uint32_t item) const {
  const auto before = item == 0 ? 0 : up_to_[item - 1];
  return static_cast<double>(up_to_[item] - before) / static_cast<double>(up_to_.back());
}

}  // namespace oxbow::p2p::sim

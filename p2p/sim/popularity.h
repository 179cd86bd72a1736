// Zipf popularity: item k (from 0) is drawn with a weight of 1 / (k + 1)^alpha. The weights are rounded to integers, so
// that the last bit of a machine's pow decides nothing. Thread rule: immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "p2p/random.h"

namespace oxbow::p2p::sim {

class Popularity {
 public:
  /// Requires an item at least.
  Popularity(std::uint32_t items, double alpha);

  std::uint32_t draw(Random& random) const;
  /// Of one draw.
  double share(std::uint32_t item) const;

 private:
  std::vector<std::uint64_t> up_to_;  ///< sums of the weights, each with its own
};

}  // namespace oxbow::p2p::sim

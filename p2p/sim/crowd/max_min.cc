#include "p2p/sim/crowd/max_min.h"

#include <algorithm>
#include <limits>

namespace oxbow::p2p::sim {

std::vector<double> max_min_shares(std::span<const double> capacities, std::span<const MaxMinFlow> flows) {
  std::vector<double> left(capacities.begin(), capacities.end());
  std::vector<std::uint32_t> open(left.size());
  std::vector<double> rates(flows.size(), -1);
  for (const auto& flow : flows) {
    for (const auto link : flow.links) ++open[link];
  }
  for (auto unfixed = flows.size(); unfixed > 0;) {
    double share = std::numeric_limits<double>::max();
    std::uint32_t fullest = 0;
    for (std::uint32_t link = 0; link < left.size(); ++link) {
      if (open[link] == 0 || left[link] / open[link] >= share) continue;
      share = left[link] / open[link];
      fullest = link;
    }
    for (std::size_t i = 0; i < flows.size(); ++i) {
      if (rates[i] >= 0 || std::ranges::find(flows[i].links, fullest) == flows[i].links.end()) continue;
      rates[i] = share;
      --unfixed;
      for (const auto link : flows[i].links) {
        left[link] = std::max(0.0, left[link] - share);
        --open[link];
      }
    }
  }
  return rates;
}

}  // namespace oxbow::p2p::sim

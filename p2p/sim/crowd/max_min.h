// Exact max-min fair sharing of links by flows, by progressive filling (Bertsekas, Gallager, "Data Networks", 2nd ed.,
// 6.5.2): all rates grow alike until a link is full; its flows are done, the others go on. What the network's cheaper
// model is compared with.
// Thread rule: pure. Errors: none.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace oxbow::p2p::sim {

struct MaxMinFlow {
  std::vector<std::uint32_t> links;  ///< that it crosses; at least one
};

/// Rates by flow, in the unit of the capacities.
std::vector<double> max_min_shares(std::span<const double> capacities, std::span<const MaxMinFlow> flows);

}  // namespace oxbow::p2p::sim

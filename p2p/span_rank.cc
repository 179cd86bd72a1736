#include "p2p/span_rank.h"

#include <algorithm>

#include "p2p/random.h"

namespace oxbow::p2p {

double span_rank(std::optional<std::size_t> place, Key span, Key node) noexcept {
  if (place && *place < kSpanRanksPlaced) return -static_cast<double>(*place);
  return -static_cast<double>(kSpanRanksPlaced) - Random(span ^ node).uniform();
}

double span_rank(const Ring& ring, std::uint32_t self, Key span, Key node) {
  const auto order = ring.walk(span, kSpanRanksPlaced, [](std::uint32_t) { return true; });
  const auto found = std::ranges::find(order, self);
  const auto place = static_cast<std::size_t>(found - order.begin());
  return span_rank(found == order.end() ? std::nullopt : std::optional(place), span, node);
}

}  // namespace oxbow::p2p

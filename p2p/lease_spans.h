// The spans that a blob's leases are for: 1 to 64 stripes each, a power of two, so that a span never crosses a word of
// a have map. The daemon's are those of the geometry, which the peer protocol's limits are reckoned in; the simulator
// tries others. Coordinator and requesters must agree.
// Thread rule: plain value.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/error.h"
#include "core/geometry.h"
#include "p2p/have_map.h"

namespace oxbow::p2p {

class LeaseSpans {
 public:
  static constexpr std::uint32_t kMostStripes = 64;
  static constexpr bool can_be(std::uint32_t stripes) noexcept {
    return stripes <= kMostStripes && std::has_single_bit(stripes);
  }

  explicit LeaseSpans(std::uint32_t stripes) : shift_(static_cast<std::uint32_t>(std::countr_zero(stripes))) {
    OXBOW_INVARIANT(can_be(stripes));
  }

  std::uint32_t of(std::uint32_t stripe) const noexcept { return stripe >> shift_; }
  std::uint32_t begin(std::uint32_t span) const noexcept { return span << shift_; }
  /// After its last stripe; the last span of a blob of so many stripes may be shorter.
  std::uint32_t end(std::uint32_t span, std::uint32_t stripes) const noexcept {
    return std::min((span + 1) << shift_, stripes);
  }
  std::uint32_t count(std::uint32_t stripes) const noexcept { return (stripes + (1U << shift_) - 1) >> shift_; }
  std::uint64_t bytes(const Geometry& geometry) const noexcept { return geometry.stripe_bytes() << shift_; }

  /// Whether the map has all stripes of one of its spans.
  bool all_in(const HaveMap& have, std::uint32_t span) const noexcept {
    const auto first = begin(span);
    const auto mask = (~std::uint64_t{0} >> (kMostStripes - (end(span, have.size()) - first))) << (first % 64);
    return (have.words()[first / 64] & mask) == mask;
  }

 private:
  std::uint32_t shift_;
};

}  // namespace oxbow::p2p

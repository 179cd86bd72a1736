// Where each stripe of a running fetch comes from and whether it may be given out: written by the fetch on its home
// loop, read by readers on their loops and by what serves peers.
// Thread rule: atomic. Lifetime: shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"

namespace oxbow::mirror {

enum class StripeMark : std::uint8_t {
  kPlain,         ///< here before, or not here
  kFromUpstream,  ///< first hand: given out as it arrives
  kUnchecked,     ///< from a peer; given to nobody yet
  kChecked,       ///< from a peer, and all that is known of it agrees
};

class StripeMarks {
 public:
  explicit StripeMarks(std::uint32_t stripes) : marks_(stripes) {}

  StripeMark at(std::uint32_t stripe) const noexcept {
    OXBOW_INVARIANT(stripe < marks_.size());
    return static_cast<StripeMark>(marks_[stripe].load(std::memory_order_acquire));
  }
  void set(std::uint32_t stripe, StripeMark mark) noexcept {
    marks_[stripe].store(static_cast<std::uint8_t>(mark), std::memory_order_release);
  }
  /// Where the first byte at or after `offset` lies that may not be given out yet; at most `end`.
  std::uint64_t free_end(const Geometry& geometry, std::uint64_t offset, std::uint64_t end) const noexcept {
    while (offset < end) {
      const auto stripe = geometry.stripe_at(offset);
      if (at(stripe) == StripeMark::kUnchecked) return offset;
      offset = geometry.stripe(stripe).end;
    }
    return end;
  }

 private:
  std::vector<std::atomic<std::uint8_t>> marks_;
};

}  // namespace oxbow::mirror

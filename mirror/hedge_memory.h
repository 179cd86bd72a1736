// The memory of a node for the tails of hedges: a hedge's bytes wait until all of the tail is here and the late request
// has ended. Without room there is no hedge, and the late request goes on.
// Thread rule: any thread. Lifetime: outlives its holds.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/metrics.h"

namespace oxbow::mirror {

class HedgeMemory {
 public:
  class Hold {
   public:
    Hold(HedgeMemory& memory, std::uint64_t bytes) : memory_(&memory), bytes_(bytes) {}
    Hold(Hold&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (memory_ != nullptr) memory_->used_ -= bytes_;
    }

   private:
    HedgeMemory* memory_;
    std::uint64_t bytes_;
  };

  /// `hits` counts hedges that found no room.
  HedgeMemory(std::uint64_t bytes, Counter& hits) : bytes_(bytes), hits_(hits) {}

  std::optional<Hold> take(std::uint64_t bytes) {
    if (used_.fetch_add(bytes) + bytes <= bytes_) return std::optional<Hold>(std::in_place, *this, bytes);
    used_ -= bytes;
    hits_.Increment();
    return std::nullopt;
  }
  std::uint64_t used() const noexcept { return used_; }

 private:
  const std::uint64_t bytes_;
  Counter& hits_;
  std::atomic<std::uint64_t> used_ = 0;
};

}  // namespace oxbow::mirror

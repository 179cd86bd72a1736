// The upload slots of this node: how many stripes it sends to peers at once, and of them how many copies of one stripe.
// A request that finds none waits a short time, first come first served, and at most so many wait; then it is told to
// go elsewhere. A copy that is complete early is a source early: copies of one stripe that share the uplink are all
// late, and until then nobody else has it (docs/simulation-crowd.md, `same_stripe`).
// Thread rule: any thread; `acquire` on a loop. Lifetime: slots may outlive the object.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/metrics.h"
#include "core/task.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

class UploadSlots {
  struct State;

 public:
  /// Held while a stripe is sent; goes to the first who waits when it is destroyed.
  class Slot {
   public:
    Slot(std::shared_ptr<State> state, std::uint64_t what) noexcept : state_(std::move(state)), what_(what) {}
    ~Slot();
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      state_.swap(other.state_);
      std::swap(what_, other.what_);
      return *this;
    }

   private:
    std::shared_ptr<State> state_;
    std::uint64_t what_ = kAnything;
  };

  struct Limits {
    std::uint32_t slots;
    std::uint32_t same;     ///< of them for one and the same thing
    std::uint32_t waiting;  ///< requests
  };
  /// Sent any number of times side by side.
  static constexpr std::uint64_t kAnything = 0;

  /// `used` shows how many slots are taken; `hits` counts requests that got none because all were, `same_hits` those
  /// that got none because too many copies of the same were on their way.
  UploadSlots(Limits limits, Gauge& used, Counter& hits, Counter& same_hits);
  ~UploadSlots();

  /// A slot to send `what`, a number for a stripe; or nothing when none came free within `wait` or too many wait
  /// already.
  Task<std::optional<Slot>> acquire(std::chrono::milliseconds wait, std::uint64_t what);
  Load load() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace oxbow::p2p

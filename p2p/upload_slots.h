// The upload slots of this node: how many stripes it sends to peers at once. A request that finds none waits a short
// time, first come first served, and at most so many wait; then it is told to go elsewhere.
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
    explicit Slot(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
    ~Slot();
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      state_.swap(other.state_);
      return *this;
    }

   private:
    std::shared_ptr<State> state_;
  };

  /// `used` shows how many are taken; `hits` counts requests that got none.
  UploadSlots(std::uint32_t slots, std::uint32_t waiting, Gauge& used, Counter& hits);
  ~UploadSlots();

  /// A slot, or nothing when none came free within `wait` or too many wait already.
  Task<std::optional<Slot>> acquire(std::chrono::milliseconds wait);
  Load load() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace oxbow::p2p

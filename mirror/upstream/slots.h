// A registry's limit on exchanges at a time. Who waits is served in order of class (pull, preheat, repair), then first
// come. Thread rule: all methods from any thread; a waiter resumes on its own loop.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>

#include "core/error.h"
#include "core/metrics.h"
#include "core/signal.h"
#include "mirror/upstream/config.h"

namespace oxbow::mirror::upstream {

class Slots : public std::enable_shared_from_this<Slots> {
 public:
  /// Held while an exchange runs.
  class Slot {
   public:
    Slot() = default;
    explicit Slot(std::shared_ptr<Slots> slots) : slots_(std::move(slots)) {}
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      release();
      slots_ = std::move(other.slots_);
      return *this;
    }
    ~Slot() { release(); }
    void release() noexcept {
      if (const auto slots = std::exchange(slots_, nullptr)) slots->give_back();
    }

   private:
    std::shared_ptr<Slots> slots_;
  };

  Slots(std::uint32_t limit, Counter& hits) : free_(limit), hits_(hits) {}

  /// Errors: kLimit at `until`.
  Task<Result<Slot>> acquire(FetchClass fetch_class, SteadyTime until);

 private:
  struct Waiter;
  void give_back() noexcept;
  /// Leaves the queue; a slot that was granted meanwhile goes on to the next.
  void leave(Waiter& waiter) noexcept;

  std::mutex mutex_;
  std::uint32_t free_;
  std::array<std::deque<std::shared_ptr<Waiter>>, kFetchClasses> queues_;
  Counter& hits_;
};

}  // namespace oxbow::mirror::upstream

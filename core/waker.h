// Wakes something that lives on one loop from any thread, at most one wake-up under way at a time, and if so told no
// more often than every few milliseconds: news that come byte by byte are taken in portions.
// Thread rule: `wake` from any thread; `set`, `clear` on the loop. Lifetime: shared by all who may wake.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "core/loop_ticks.h"

namespace oxbow {

class Waker final : public LoopTicks::Work, public std::enable_shared_from_this<Waker> {
 public:
  /// With `at_most_every` wake-ups come with the loop's ticks, the first one at once where it has been quiet.
  explicit Waker(Loop& loop, std::chrono::milliseconds at_most_every = {})
      : loop_(loop), interval_(at_most_every), ticks_(at_most_every.count() > 0 ? &LoopTicks::of(loop) : nullptr) {}

  /// What a wake-up runs, on the loop. `clear` guarantees that it will not run any more.
  void set(std::function<void()> action) { action_ = std::move(action); }
  void clear() { action_ = nullptr; }

  void wake() {
    if (pending_.exchange(true)) return;
    if (ticks_ != nullptr) return ticks_->add(shared_from_this());
    asio::post(loop_, [self = shared_from_this()] { self->run(); });
  }

  Loop& loop() noexcept { return loop_; }

 private:
  bool on_tick(LoopTicks::Time now) override {
    if (action_ && now < last_ + interval_) return false;
    last_ = now;
    run();
    return true;
  }
  void run() {
    pending_ = false;
    // A copy: the action may clear itself.
    if (auto action = action_) action();
  }

  Loop& loop_;
  const std::chrono::milliseconds interval_;
  LoopTicks* const ticks_;
  LoopTicks::Time last_{};
  std::atomic<bool> pending_ = false;
  std::function<void()> action_;
};

}  // namespace oxbow

// Wakes something that lives on one loop from any thread, at most one wake-up under way at a time.
// Thread rule: `wake` from any thread; `set`, `clear` on the loop. Lifetime: shared by all who may wake.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "core/task.h"

namespace oxbow {

class Waker : public std::enable_shared_from_this<Waker> {
 public:
  explicit Waker(Loop& loop) : loop_(loop) {}

  /// What a wake-up runs, on the loop. `clear` guarantees that it will not run any more.
  void set(std::function<void()> action) { action_ = std::move(action); }
  void clear() { action_ = nullptr; }

  void wake() {
    if (pending_.exchange(true)) return;
    asio::post(loop_, [self = shared_from_this()] {
      self->pending_ = false;
      // A copy: the action may clear itself.
      if (auto action = self->action_) action();
    });
  }

  Loop& loop() noexcept { return loop_; }

 private:
  Loop& loop_;
  std::atomic<bool> pending_ = false;
  std::function<void()> action_;
};

}  // namespace oxbow

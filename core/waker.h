// Wakes something that lives on one loop from any thread, at most one wake-up under way at a time, and if so told no
// more often than every few milliseconds: news that come byte by byte are taken in portions.
// Thread rule: `wake` from any thread; `set`, `clear` on the loop. Lifetime: shared by all who may wake.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "core/task.h"

namespace oxbow {

class Waker : public std::enable_shared_from_this<Waker> {
 public:
  /// With `at_most_every` the first wake-up comes at once and the next ones after that time.
  explicit Waker(Loop& loop, std::chrono::milliseconds at_most_every = {}) : loop_(loop), interval_(at_most_every) {}

  /// What a wake-up runs, on the loop. `clear` guarantees that it will not run any more.
  void set(std::function<void()> action) { action_ = std::move(action); }
  void clear() { action_ = nullptr; }

  void wake() {
    if (pending_.exchange(true)) return;
    asio::post(loop_, [self = shared_from_this()] { self->due(); });
  }

  Loop& loop() noexcept { return loop_; }

 private:
  void due() {
    if (interval_.count() > 0 && action_ && std::chrono::steady_clock::now() < last_ + interval_) {
      // Made for this one wait: a waker may be let go after its loop has ended, and a timer may not.
      auto timer = std::make_shared<asio::steady_timer>(loop_, last_ + interval_);
      auto& waiting = *timer;
      waiting.async_wait(
          [self = shared_from_this(), timer = std::move(timer)](const boost::system::error_code&) { self->run(); });
      return;
    }
    run();
  }
  void run() {
    if (interval_.count() > 0) last_ = std::chrono::steady_clock::now();
    pending_ = false;
    // A copy: the action may clear itself.
    if (auto action = action_) action();
  }

  Loop& loop_;
  const std::chrono::milliseconds interval_;
  std::chrono::steady_clock::time_point last_{};
  std::atomic<bool> pending_ = false;
  std::function<void()> action_;
};

}  // namespace oxbow

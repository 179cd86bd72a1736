// Waiting inside coroutines: for one event on the same loop, and for a job that another coroutine does.
#pragma once

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/task.h"

namespace oxbow {

using SteadyTime = std::chrono::steady_clock::time_point;

/// Wakes one waiting coroutine. Thread rule: its executor alone. A notify before the wait is not lost.
class Signal {
 public:
  explicit Signal(const asio::any_io_executor& executor) : timer_(executor) {}

  void notify() {
    notified_ = true;
    timer_.cancel();
  }
  /// True when notified, false at `until`.
  Task<bool> wait(SteadyTime until) {
    if (!notified_) {
      boost::system::error_code ignored;
      timer_.expires_at(until);
      co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    co_return std::exchange(notified_, false);
  }
  asio::any_io_executor executor() { return timer_.get_executor(); }

 private:
  asio::steady_timer timer_;
  bool notified_ = false;
};

/// A result that many wait for, on any loop, and one brings. Thread rule: all methods from any thread. Lifetime: shared
/// by all of them.
template <typename T>
class Flight {
 public:
  /// Nothing: not yet.
  std::optional<T> result() const {
    const std::lock_guard lock(mutex_);
    return result_;
  }
  /// Nothing when there is none by then. The flight outlives the wait.
  Task<std::optional<T>> wait(SteadyTime until = SteadyTime::max()) {
    const auto signal = std::make_shared<Signal>(co_await asio::this_coro::executor);
    const Leave leave{*this, signal.get()};
    // The reference goes along with the post: dropping it is the executor's as well.
    listen(signal.get(), [mine = signal]() mutable {
      const auto executor = mine->executor();
      asio::post(executor, [mine = std::move(mine)] { mine->notify(); });
    });
    if (auto there = result()) co_return there;
    co_await signal->wait(until);
    co_return result();
  }
  /// `wake` is called when it finishes, on that thread, or now where it has. After `leave` only if that was under way.
  void listen(const void* who, std::move_only_function<void()> wake) {
    std::unique_lock lock(mutex_);
    if (!result_) return waiting_.push_back({who, std::move(wake)});
    lock.unlock();
    wake();
  }
  void leave(const void* who) {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const auto& one) { return one.who == who; });
  }

  void finish(T result) {
    std::unique_lock lock(mutex_);
    if (result_) return;
    result_ = std::move(result);
    auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (auto& one : waiting) one.wake();
  }

 private:
  struct Waiting {
    const void* who;
    std::move_only_function<void()> wake;
  };
  struct Leave {
    Flight& flight;
    const void* who;
    ~Leave() { flight.leave(who); }
  };

  mutable std::mutex mutex_;
  std::optional<T> result_;
  std::vector<Waiting> waiting_;
};

}  // namespace oxbow

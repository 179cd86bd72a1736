// Waiting inside coroutines: for one event on the same loop, and for a job that another coroutine does.
#pragma once

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "core/task.h"

namespace oxbow::mirror::upstream {

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

/// A result that many wait for, on any loop, and one brings. Thread rule: all methods from any thread.
template <typename T>
class Flight {
 public:
  /// kTimeout at `until`.
  Task<Result<T>> wait(SteadyTime until) {
    auto signal = std::make_shared<Signal>(co_await asio::this_coro::executor);
    {
      std::lock_guard lock(mutex_);
      if (result_) co_return *result_;
      waiting_.push_back(signal);
    }
    const Leave leave{*this, signal.get()};
    co_await signal->wait(until);
    std::lock_guard lock(mutex_);
    if (result_) co_return *result_;
    co_return fail(Errc::kTimeout, "no answer in time");
  }

  void finish(Result<T> result) {
    std::lock_guard lock(mutex_);
    if (result_) return;
    result_ = std::move(result);
    for (auto& signal : waiting_) {
      auto executor = signal->executor();
      asio::post(executor, [signal = std::move(signal)] { signal->notify(); });
    }
    waiting_.clear();
  }

 private:
  struct Leave {
    Flight& flight;
    Signal* signal;
    ~Leave() {
      std::lock_guard lock(flight.mutex_);
      std::erase_if(flight.waiting_, [&](const auto& held) { return held.get() == signal; });
    }
  };

  std::mutex mutex_;
  std::optional<Result<T>> result_;
  std::vector<std::shared_ptr<Signal>> waiting_;
};

}  // namespace oxbow::mirror::upstream

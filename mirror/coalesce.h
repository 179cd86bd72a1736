// One run for many askers: while the work for a key is under way, others who ask for the same key wait for its result.
// Thread rule: any thread; each asker goes on on its own loop. Lifetime: outlives its runs, which may outlive their
// askers.
#pragma once

#include <boost/asio/redirect_error.hpp>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/task.h"
#include "core/waker.h"

namespace oxbow::mirror {

template <typename T>
class Coalesce {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Work under way, or its result. Shared by all who asked for it.
  class Run {
   public:
    std::optional<T> result() const {
      const std::lock_guard lock(mutex_);
      return result_;
    }
    /// `waker` is woken when the result is there, at once where it is.
    void on_end(std::shared_ptr<Waker> waker) {
      std::unique_lock lock(mutex_);
      if (!result_) return waiting_.push_back(std::move(waker));
      lock.unlock();
      waker->wake();
    }
    /// Nothing when there is no result by then; the work goes on.
    static Task<std::optional<T>> wait(std::shared_ptr<Run> self, Time until = Time::max()) {
      Loop* loop = co_await this_loop();
      asio::steady_timer timer(*loop, until);
      const auto waker = std::make_shared<Waker>(*loop);
      waker->set([&timer] { timer.cancel(); });
      self->on_end(waker);
      auto result = self->result();
      while (!result && std::chrono::steady_clock::now() < until) {
        boost::system::error_code ignored;
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        result = self->result();
      }
      waker->clear();
      self->leave(waker);
      co_return result;
    }
    /// It need not be woken any more.
    void leave(const std::shared_ptr<Waker>& waker) {
      const std::lock_guard lock(mutex_);
      std::erase(waiting_, waker);
    }

   private:
    friend class Coalesce;
    void end(T result) {
      std::unique_lock lock(mutex_);
      result_ = std::move(result);
      const auto waiting = std::exchange(waiting_, {});
      lock.unlock();
      for (const auto& waker : waiting) waker->wake();
    }

    mutable std::mutex mutex_;
    std::optional<T> result_;
    std::vector<std::shared_ptr<Waker>> waiting_;
  };

  /// Begins the work unless it is under way. `work` runs on the first asker's loop and must not throw.
  Task<std::shared_ptr<Run>> start(std::string key, std::function<Task<T>()> work) {
    auto made = std::make_shared<Run>();
    {
      const std::lock_guard lock(mutex_);
      const auto [entry, leads] = running_.try_emplace(key, made);
      if (!leads) co_return entry->second;
    }
    asio::co_spawn(*co_await this_loop(), lead(made, std::move(key), std::move(work)),
                   [](const std::exception_ptr& thrown) { OXBOW_INVARIANT(!thrown); });
    co_return made;
  }

  /// The same, to its end. T is copied to every asker.
  Task<T> run(std::string key, std::function<Task<T>()> work) {
    auto run = co_await start(std::move(key), std::move(work));
    auto result = co_await Run::wait(std::move(run));
    co_return std::move(*result);
  }

 private:
  Task<> lead(std::shared_ptr<Run> run, std::string key, std::function<Task<T>()> work) {
    T result = co_await work();
    {
      const std::lock_guard lock(mutex_);
      running_.erase(key);
    }
    run->end(std::move(result));
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Run>> running_;
};

}  // namespace oxbow::mirror

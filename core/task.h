// Coroutines, loops and the pool for what blocks.
// A `Task` runs on one loop and is awaited once. Parameters are taken by value or outlive the task; no capturing lambda
// coroutine unless the lambda outlives it; no lock is held across `co_await`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/error.h"

namespace oxbow {

namespace asio = boost::asio;

template <typename T = void>
using Task = asio::awaitable<T>;
using Callback = std::move_only_function<void()>;

/// An event loop: one io_context run by one thread. Nothing that blocks runs on it.
using Loop = asio::io_context;

/// The daemon's loops, one a core. Thread rule: start/stop/join from main; `at`, `size` from anywhere.
class Loops {
 public:
  explicit Loops(std::size_t count);
  ~Loops();
  Loops(const Loops&) = delete;
  Loops& operator=(const Loops&) = delete;

  void start();
  /// Lets the loops run until nothing is left to run, at most for `timeout`, then stops them. Owners have been closed
  /// before, so what is left is their last words.
  void finish(std::chrono::milliseconds timeout);
  /// Ends the loops without waiting for what runs on them.
  void stop();
  void join();

  std::size_t size() const noexcept { return loops_.size(); }
  Loop& at(std::size_t index) noexcept { return *loops_[index]; }

 private:
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<asio::executor_work_guard<Loop::executor_type>> work_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable ended_;
  std::size_t running_ = 0;
};

/// Threads for calls that block: RocksDB, file system, getaddrinfo, hashing. Jobs start in order of submission.
/// Thread rule: all methods from any thread.
class WorkPool {
 public:
  explicit WorkPool(std::size_t threads) : pool_(threads) {}
  ~WorkPool() { pool_.join(); }

  /// After `join` the job is dropped at once: it may hold what is about to end.
  void submit(Callback job) {
    if (!joined_) asio::post(pool_, std::move(job));
  }

  /// Runs `job` on the pool and resumes the awaiting coroutine on its own executor with what `job` returned.
  template <typename Job>
  Task<std::invoke_result_t<Job>> run(Job job) {
    co_return co_await asio::co_spawn(pool_.get_executor(), invoke(std::move(job)), asio::use_awaitable);
  }

  /// Waits for what was submitted; nothing can be submitted afterwards.
  void join() {
    joined_ = true;
    pool_.join();
  }

 private:
  template <typename Job>
  static Task<std::invoke_result_t<Job>> invoke(Job job) {
    co_return job();
  }

  asio::thread_pool pool_;
  std::atomic<bool> joined_ = false;
};

/// Awaits a callback API: `start` is given a function that takes a T, from any thread, once; the coroutine goes on with
/// that value on its own executor.
template <typename T, typename Start>
Task<T> await_callback(Start start) {
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(T)>(
      [](auto handler, Start begin) {
        auto executor = asio::get_associated_executor(handler);
        begin([executor, handler = std::move(handler)](T value) mutable {
          asio::post(executor, [handler = std::move(handler), value = std::move(value)]() mutable {
            std::move(handler)(std::move(value));
          });
        });
      },
      asio::use_awaitable, std::move(start));
}

/// The loop that the calling coroutine runs on.
Task<Loop*> this_loop();

/// Sleeps on the caller's executor.
Task<> sleep_for(std::chrono::milliseconds duration);

}  // namespace oxbow

// What the tests of single parts stand on: a real store in a directory of its own that can be closed and opened again,
// loops, a pool, and a clock that the test moves.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <latch>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/task.h"
#include "storage/store.h"

namespace oxbow::mirror {

class Scratch {
 public:
  explicit Scratch(bool start = true) {
    // In memory where the machine has it: the index syncs its files, which waits for whatever else the disk does.
    const std::filesystem::path memory = "/dev/shm";
    const auto root = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (root / "oxbow-mirror-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    open();
    if (start) loops_.start();
  }
  ~Scratch() {
    stop();
    close();
    std::filesystem::remove_all(directory_);
  }

  /// Ends pool and loops; what was posted before has run.
  void stop() {
    if (std::exchange(stopped_, true)) return;
    pool_.join();
    loops_.finish(std::chrono::seconds(2));
  }

  /// What is on the pool and on the loops has run, and what that brought about in its turn.
  void settle() {
    if (stopped_) return;
    for (int round = 0; round < 4; ++round) {
      // Each thread of the pool is here at once: neither has anything in hand any more.
      auto here = std::make_shared<std::latch>(kPoolThreads + 1);
      for (int i = 0; i < kPoolThreads; ++i) pool_.submit([here] { here->arrive_and_wait(); });
      here->arrive_and_wait();
      for (std::size_t i = 0; i < loops_.size(); ++i) on_loop([] {}, i);
    }
  }

  void open() {
    storage::Config config;
    config.directory = directory_;
    config.budget_bytes = 1024ULL * 1024 * 1024;
    config.floor_bytes = 0;
    auto store = storage::Store::open(config, clock_, metrics_);
    ASSERT_TRUE(store) << store.error().what();
    store_ = std::move(*store);
  }
  void close() {
    if (store_) store_->close();
    store_.reset();
  }
  void reopen() {
    close();
    open();
  }

  storage::Store& store() { return *store_; }
  const std::string& directory() const { return directory_; }
  ManualClock& clock() { return clock_; }
  MetricsRegistry& metrics() { return metrics_; }
  WorkPool& pool() { return pool_; }
  Loops& loops() { return loops_; }
  Loop& loop(std::size_t index = 0) { return loops_.at(index); }

  /// Starts a task on a loop.
  template <typename T>
  std::future<T> start(Task<T> task, std::size_t index = 0) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    asio::co_spawn(loops_.at(index), std::move(task), [promise](const std::exception_ptr& thrown, T value) {
      if (thrown)
        promise->set_exception(thrown);
      else
        promise->set_value(std::move(value));
    });
    return future;
  }
  std::future<void> start(Task<> task, std::size_t index = 0) {
    auto promise = std::make_shared<std::promise<void>>();
    auto future = promise->get_future();
    asio::co_spawn(loops_.at(index), std::move(task), [promise](const std::exception_ptr& thrown) {
      if (thrown)
        promise->set_exception(thrown);
      else
        promise->set_value();
    });
    return future;
  }
  template <typename T>
  T run(Task<T> task, std::size_t index = 0) {
    return start(std::move(task), index).get();
  }

  void on_loop(std::function<void()> job, std::size_t index = 0) {
    std::promise<void> done;
    asio::post(loops_.at(index), [&] {
      job();
      done.set_value();
    });
    done.get_future().wait();
  }

  /// The value of a sample as the exposition prints it; empty when there is none.
  std::string metric(const std::string& sample) {
    const auto text = render_metrics(metrics_);
    const auto at = text.find(sample + " ");
    if (at == std::string::npos) return {};
    const auto begin = at + sample.size() + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  }

 private:
  static constexpr int kPoolThreads = 2;

  bool stopped_ = false;
  std::string directory_;
  ManualClock clock_;
  MetricsRegistry metrics_;
  WorkPool pool_{kPoolThreads};
  Loops loops_{2};
  std::unique_ptr<storage::Store> store_;
};

}  // namespace oxbow::mirror

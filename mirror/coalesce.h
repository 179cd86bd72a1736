// One run for many askers: while the work for a key is under way, others who ask for the same key wait for its result.
// Thread rule: any thread; each asker goes on on its own loop. Lifetime: outlives its runs, which may outlive their
// askers.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>

#include "core/signal.h"
#include "core/task.h"

namespace oxbow::mirror {

template <typename T>
class Coalesce {
 public:
  using Run = Flight<T>;

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
    const auto run = co_await start(std::move(key), std::move(work));
    auto result = co_await run->wait();
    co_return std::move(*result);
  }

 private:
  Task<> lead(std::shared_ptr<Run> run, std::string key, std::function<Task<T>()> work) {
    T result = co_await work();
    {
      const std::lock_guard lock(mutex_);
      running_.erase(key);
    }
    run->finish(std::move(result));
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Run>> running_;
};

}  // namespace oxbow::mirror

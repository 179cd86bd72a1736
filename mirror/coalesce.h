// One run for many askers: while the work for a key is under way, others who ask for the same key wait for its result.
// Thread rule: any thread; each asker goes on on its own loop. Lifetime: outlives its runs.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/task.h"

namespace oxbow::mirror {

template <typename T>
class Coalesce {
 public:
  /// `work` runs in the first asker's coroutine and must not throw. T is copied to every asker.
  Task<T> run(std::string key, std::function<Task<T>()> work) {
    bool leads = false;
    {
      const std::lock_guard lock(mutex_);
      leads = waiting_.try_emplace(key).second;
    }
    if (!leads) {
      auto joined = co_await await_callback<std::optional<T>>([this, &key](auto done) {
        const std::lock_guard lock(mutex_);
        const auto entry = waiting_.find(key);
        if (entry == waiting_.end())
          done(std::nullopt);  // it ended just now
        else
          entry->second.emplace_back(std::move(done));
      });
      if (joined) co_return std::move(*joined);
      co_return co_await work();
    }
    T result = co_await work();
    std::vector<std::move_only_function<void(std::optional<T>)>> waiting;
    {
      const std::lock_guard lock(mutex_);
      const auto entry = waiting_.find(key);
      waiting = std::move(entry->second);
      waiting_.erase(entry);
    }
    for (auto& done : waiting) done(result);
    co_return result;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::vector<std::move_only_function<void(std::optional<T>)>>> waiting_;
};

}  // namespace oxbow::mirror

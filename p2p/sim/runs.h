// Many independent runs over all cores, and how far they are. Each run is deterministic by its own seed and touches
// nothing shared, so the results do not depend on the number of threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace oxbow::p2p::sim {

/// How far a long simulation is; what shows it (a bar on a terminal) reads it from another thread.
/// Thread rule: all of it from any thread, but `phase` is set before work on it starts.
class Progress {
 public:
  void begin(std::string phase, std::uint64_t total);
  void add(std::uint64_t done = 1) noexcept { done_.fetch_add(done, std::memory_order_relaxed); }
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  /// Long loops ask now and then, and return early.
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }

  std::string phase() const;
  std::uint64_t done() const noexcept { return done_.load(std::memory_order_relaxed); }
  std::uint64_t total() const noexcept { return total_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<std::uint64_t> total_ = 0;
  std::atomic<bool> cancelled_ = false;
  mutable std::mutex mutex_;  ///< over `phase_`
  std::string phase_;
};

/// Calls `run(0)` to `run(count - 1)`, on `threads` threads (0: one a core), in any order; returns when all have ended.
void for_each_run(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& run);

}  // namespace oxbow::p2p::sim

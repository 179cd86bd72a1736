#include "p2p/sim/runs.h"

#include <algorithm>
#include <thread>
#include <vector>

namespace oxbow::p2p::sim {

void Progress::begin(std::string phase, std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  phase_ = std::move(phase);
  done_.store(0, std::memory_order_relaxed);
  total_.store(total, std::memory_order_relaxed);
}

std::string Progress::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

void for_each_run(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& run) {
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (auto index = next.fetch_add(1); index < count; index = next.fetch_add(1)) run(index);
  };
  // The caller's own thread works too: one run, or one thread, starts no other.
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < std::min<std::size_t>(threads, count); ++i) others.emplace_back(work);
  work();
}

}  // namespace oxbow::p2p::sim

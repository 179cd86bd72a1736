// Work that may wait a few milliseconds, gathered: while there is any, a loop ticks, and all that has come since the
// last tick runs in one wake-up. Without it every piece of news costs its own: a message to the loop, a timer, a
// context switch, and a node that moves 25 MB/s spends more on those than on the bytes (docs/benchmarks.md). An Asio
// service, because a loop has no other place for what belongs to it. Thread rule: `of` and `add` from any thread; what
// is added runs on the loop. Lifetime: the loop's.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/task.h"

namespace oxbow {

class LoopTicks final : public asio::execution_context::service {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds kEvery{4};

  class Work {
   public:
    virtual ~Work() = default;
    /// False: not due yet; asked again at the next tick.
    virtual bool on_tick(Time now) = 0;
  };

  static asio::execution_context::id id;  // Asio's way to find a service
  static LoopTicks& of(Loop& loop) { return asio::use_service<LoopTicks>(loop); }
  explicit LoopTicks(asio::execution_context& loop);

  /// Runs at once where the loop has not ticked for a while, else at its next tick.
  void add(std::shared_ptr<Work> work);

 private:
  void shutdown() override;
  void run();

  Loop& loop_;
  std::optional<asio::steady_timer> timer_;  // of the loop
  std::vector<std::shared_ptr<Work>> now_;   // of the loop: what this tick runs
  std::mutex mutex_;
  std::vector<std::shared_ptr<Work>> waiting_;
  bool ticking_ = false;
};

}  // namespace oxbow

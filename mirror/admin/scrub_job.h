// The scrub that an operator asks for: every stripe is read and compared now. It runs on the pool for as long as it
// takes, one at a time, and is asked how far it is.
// Thread rule: any thread. Lifetime: stopped before the pool is joined; the store and the pool outlive it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "core/clock.h"
#include "core/task.h"
#include "storage/store.h"

namespace oxbow::mirror {

class ScrubJob {
 public:
  struct Report {
    enum class State : std::uint8_t { kNone, kRunning, kDone, kStopped };
    State state = State::kNone;
    std::optional<Clock::Wall> started, ended;
    std::uint64_t total_bytes = 0;  ///< stored when it began
    storage::ScrubReport found;
  };

  ScrubJob(storage::Store& store, WorkPool& pool, const Clock& clock) : store_(store), pool_(pool), clock_(clock) {}
  ScrubJob(const ScrubJob&) = delete;
  ScrubJob& operator=(const ScrubJob&) = delete;

  /// Begins one and returns at once. Errors: kBusy, while one runs; kCancelled, after `stop`.
  Result<> start();
  /// Of the one that runs, else of the last one.
  Report report() const;
  /// The running one ends after its stripe; none begins any more.
  void stop() { stopping_ = true; }

 private:
  void run();

  storage::Store& store_;
  WorkPool& pool_;
  const Clock& clock_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  Report report_;
};

}  // namespace oxbow::mirror

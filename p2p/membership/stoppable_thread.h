// A thread that can be stopped and woken at any moment: what it waits for is always waited for together with its wake
// descriptor. Whoever wakes it sets the state first; whoever waits looks at the state before.
// Thread rule: `start`, `stop` from one owner; `wake` and `stopping` from anywhere; the rest from the thread itself.
// Lifetime: the destructor stops and joins.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "core/error.h"

namespace oxbow::p2p {

class StoppableThread {
 public:
  StoppableThread() = default;
  StoppableThread(const StoppableThread&) = delete;
  StoppableThread& operator=(const StoppableThread&) = delete;
  ~StoppableThread();

  /// `name`: at most 15 bytes, for tools that list threads. Errors: kIo (no descriptor or no thread left).
  Result<> start(const char* name, std::function<void()> body);
  /// Wakes it and waits for its end. Idempotent. Not from the thread itself.
  void stop();
  void wake() noexcept;
  bool stopping() const noexcept { return stopping_.load(); }

  /// Until `timeout` is over, it is woken or stopped, or `fd` is readable. False: it has to end.
  bool wait(std::chrono::milliseconds timeout, int fd = -1);
  /// Readable when it was woken or has to end; for polls that are not `wait`. Afterwards: `drain`.
  int wake_fd() const noexcept { return wake_fd_; }
  void drain() noexcept;

 private:
  std::thread thread_;
  int wake_fd_ = -1;
  std::atomic<bool> stopping_ = false;
};

}  // namespace oxbow::p2p

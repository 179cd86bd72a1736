// Ctrl-C for a command that runs for long: SIGINT and SIGTERM as a file that a poll waits for. Thread rule: made before
// other threads, which then have both signals blocked too. Lifetime: while it lives the signals do not end the process.
#pragma once

#include <csignal>

namespace oxbow::mirror {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  int fd() const noexcept { return fd_; }
  /// Whether a signal has come, now or before.
  bool raised();
  /// Waits; true: a signal has come.
  bool wait(int timeout_ms);

 private:
  sigset_t before_{};
  int fd_ = -1;
  bool raised_ = false;
};

}  // namespace oxbow::mirror

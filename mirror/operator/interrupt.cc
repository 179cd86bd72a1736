#include "mirror/operator/interrupt.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/error.h"

namespace oxbow::mirror {

Interrupt::Interrupt() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  ::sigaddset(&wanted, SIGINT);
  ::sigaddset(&wanted, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &wanted, &before_);
  fd_ = ::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  OXBOW_INVARIANT(fd_ >= 0);
}

Interrupt::~Interrupt() {
  raised();  // what has been asked for is not asked for once more by the unblocked signal
  ::close(fd_);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interrupt::raised() {
  signalfd_siginfo info;
  if (::read(fd_, &info, sizeof info) == sizeof info) raised_ = true;
  return raised_;
}

bool Interrupt::wait(int timeout_ms) {
  if (raised()) return true;
  pollfd wanted{fd_, POLLIN, 0};
  ::poll(&wanted, 1, timeout_ms);
  return raised();
}

}  // namespace oxbow::mirror

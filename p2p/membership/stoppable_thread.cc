#include "p2p/membership/stoppable_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace oxbow::p2p {

StoppableThread::~StoppableThread() {
  stop();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

Result<> StoppableThread::start(const char* name, std::function<void()> body) {
  OXBOW_INVARIANT(!thread_.joinable());
  if (wake_fd_ < 0) wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) return std::unexpected(errno_error(errno, "create an eventfd"));
  stopping_ = false;
  drain();
  try {
    thread_ = std::thread(std::move(body));
  } catch (const std::system_error& e) {
    return fail(Errc::kIo, std::string("start a thread: ") + e.what());
  }
  pthread_setname_np(thread_.native_handle(), name);
  return {};
}

void StoppableThread::stop() {
  stopping_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
}

void StoppableThread::wake() noexcept {
  if (wake_fd_ < 0) return;
  const std::uint64_t one = 1;
  // Full means that it is readable already.
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

void StoppableThread::drain() noexcept {
  // A stop stays readable: whatever is waited for next has to end at once too.
  std::uint64_t count = 0;
  [[maybe_unused]] const auto read = ::read(wake_fd_, &count, sizeof count);
  if (stopping()) wake();
}

bool StoppableThread::wait(std::chrono::milliseconds timeout, int fd) {
  if (stopping()) return false;
  pollfd polled[2] = {{wake_fd_, POLLIN, 0}, {fd, POLLIN, 0}};
  const auto bounded = std::clamp<std::int64_t>(timeout.count(), 0, 3'600'000);
  ::poll(polled, fd < 0 ? 1 : 2, static_cast<int>(bounded));
  if ((polled[0].revents & POLLIN) != 0) drain();
  return !stopping();
}

}  // namespace oxbow::p2p

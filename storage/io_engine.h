// Asynchronous reads and writes of files: by io_uring, or by a pool of threads where io_uring is not allowed.
// Offsets and lengths are what the system call takes; short results are the caller's business.
//
// Thread rule: every method from any thread. `done` runs on one of the engine's threads, without locks, and must be
// brief. Lifetime: buffers, iovecs and the descriptor outlive `done`. The destructor waits until everything submitted
// is done. Errors: `done` gets the byte count, or -errno.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "core/error.h"

namespace oxbow::storage {

class IoEngine {
 public:
  using Done = std::move_only_function<void(std::int64_t bytes_or_errno)>;

  virtual ~IoEngine() = default;
  /// 0 bytes: the end of the file.
  virtual void read(int fd, std::span<std::byte> buffer, std::uint64_t offset, Done done) = 0;
  virtual void write(int fd, std::span<const iovec> parts, std::uint64_t offset, Done done) = 0;
  /// `io_uring` or `threads`.
  virtual std::string_view name() const noexcept = 0;
};

/// `threads` threads that call preadv and pwritev.
std::unique_ptr<IoEngine> make_thread_engine(std::size_t threads);

/// One ring on its own thread. Errors: kUnsupported (no such system call), kDenied (seccomp, kernel.io_uring_disabled),
/// kIo.
Result<std::unique_ptr<IoEngine>> make_uring_engine();

}  // namespace oxbow::storage

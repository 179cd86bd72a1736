#include <liburing.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "storage/io_engine.h"

namespace oxbow::storage {
namespace {

constexpr unsigned kRingEntries = 128;

// The ring belongs to its thread (SINGLE_ISSUER): others put requests in a queue and ring an eventfd that the ring
// itself reads, so the thread sleeps in one place only.
class UringEngine final : public IoEngine {
 public:
  ~UringEngine() override {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake();
    thread_.join();
    ::close(event_fd_);
  }

  Result<> start() {
    event_fd_ = ::eventfd(0, EFD_CLOEXEC);
    if (event_fd_ < 0) return std::unexpected(errno_error(errno, "eventfd"));
    std::promise<int> opened;
    auto result = opened.get_future();
    thread_ = std::thread([this, &opened] { run(opened); });
    const int error = result.get();
    if (error == 0) return {};
    thread_.join();
    ::close(event_fd_);
    if (error == -ENOSYS) return fail(Errc::kUnsupported, "io_uring is not in this kernel");
    return std::unexpected(errno_error(-error, "io_uring_setup"));
  }

  void read(int fd, std::span<std::byte> buffer, std::uint64_t offset, Done done) override {
    push(new Request{.fd = fd, .buffer = buffer, .parts = {}, .offset = offset, .done = std::move(done)});
  }

  void write(int fd, std::span<const iovec> parts, std::uint64_t offset, Done done) override {
    push(new Request{.fd = fd, .buffer = {}, .parts = parts, .offset = offset, .done = std::move(done)});
  }

  std::string_view name() const noexcept override { return "io_uring"; }

 private:
  struct Request {
    int fd;
    std::span<std::byte> buffer;
    std::span<const iovec> parts;
    std::uint64_t offset;
    Done done;
  };

  void push(Request* request) {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = queue_.empty();
      queue_.push_back(request);
    }
    if (first) wake();
  }

  void wake() {
    const std::uint64_t one = 1;
    while (::write(event_fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  // 6.1 knows DEFER_TASKRUN, 5.19 COOP_TASKRUN; older kernels take the ring without either.
  static int open_ring(io_uring* ring) {
    int error = 0;
    for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                                 IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0U}) {
      error = io_uring_queue_init(kRingEntries, ring, flags);
      if (error != -EINVAL) break;
    }
    return error;
  }

  void run(std::promise<int>& opened) {
    const int error = open_ring(&ring_);
    opened.set_value(error);
    if (error != 0) return;
    arm_event();
    while (true) {
      submit_queued();
      const int rc = io_uring_submit_and_wait(&ring_, 1);
      OXBOW_INVARIANT(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
      reap();
      const std::lock_guard lock(mutex_);
      if (stopping_ && queue_.empty() && in_flight_ == 0) break;
    }
    io_uring_queue_exit(&ring_);
  }

  void arm_event() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    OXBOW_INVARIANT(sqe != nullptr);
    io_uring_prep_read(sqe, event_fd_, &event_value_, sizeof event_value_, 0);
    io_uring_sqe_set_data(sqe, nullptr);
  }

  // One entry stays free for the eventfd.
  void submit_queued() {
    const std::lock_guard lock(mutex_);
    while (!queue_.empty() && in_flight_ + 1 < kRingEntries) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
      if (sqe == nullptr) return;
      Request* request = queue_.front();
      queue_.pop_front();
      if (request->parts.empty()) {
        io_uring_prep_read(sqe, request->fd, request->buffer.data(), static_cast<unsigned>(request->buffer.size()),
                           request->offset);
      } else {
        io_uring_prep_writev(sqe, request->fd, request->parts.data(), static_cast<unsigned>(request->parts.size()),
                             request->offset);
      }
      io_uring_sqe_set_data(sqe, request);
      ++in_flight_;
    }
  }

  void reap() {
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
      auto* request = static_cast<Request*>(io_uring_cqe_get_data(cqe));
      const int result = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      if (request == nullptr) {
        arm_event();
        continue;
      }
      --in_flight_;
      if (result == -EINTR || result == -EAGAIN) {
        push(request);
        continue;
      }
      const std::unique_ptr<Request> owned(request);
      owned->done(result);
    }
  }

  io_uring ring_{};
  int event_fd_ = -1;
  std::uint64_t event_value_ = 0;
  unsigned in_flight_ = 0;  ///< the ring's thread only
  std::mutex mutex_;
  std::deque<Request*> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<IoEngine>> make_uring_engine() {
  auto engine = std::make_unique<UringEngine>();
  if (auto started = engine->start(); !started) return std::unexpected(std::move(started.error()));
  return engine;
}

}  // namespace oxbow::storage

#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "storage/io_engine.h"

namespace oxbow::storage {
namespace {

class ThreadEngine final : public IoEngine {
 public:
  explicit ThreadEngine(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
  }

  ~ThreadEngine() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    ready_.notify_all();
    for (auto& thread : threads_) thread.join();
  }

  void read(int fd, std::span<std::byte> buffer, std::uint64_t offset, Done done) override {
    push({.fd = fd, .buffer = buffer, .parts = {}, .offset = offset, .done = std::move(done)});
  }

  void write(int fd, std::span<const iovec> parts, std::uint64_t offset, Done done) override {
    push({.fd = fd, .buffer = {}, .parts = parts, .offset = offset, .done = std::move(done)});
  }

  std::string_view name() const noexcept override { return "threads"; }

 private:
  struct Request {
    int fd;
    std::span<std::byte> buffer;
    std::span<const iovec> parts;
    std::uint64_t offset;
    Done done;
  };

  void push(Request request) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back(std::move(request));
    }
    ready_.notify_one();
  }

  static std::int64_t perform(const Request& request) {
    while (true) {
      const auto offset = static_cast<off_t>(request.offset);
      const ssize_t n =
          request.parts.empty()
              ? ::pread(request.fd, request.buffer.data(), request.buffer.size(), offset)
              : ::pwritev(request.fd, request.parts.data(), static_cast<int>(request.parts.size()), offset);
      if (n >= 0) return n;
      if (errno != EINTR) return -errno;
    }
  }

  // What is queued is still done after stopping_: its owners wait for `done`.
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      Request request = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      request.done(perform(request));
      request.done = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Request> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<IoEngine> make_thread_engine(std::size_t threads) { return std::make_unique<ThreadEngine>(threads); }

}  // namespace oxbow::storage

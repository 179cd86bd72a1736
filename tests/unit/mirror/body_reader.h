// Reads a body to its end on its loop, as a connection would; and waits for what must come true.
#pragma once

#include <unistd.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "core/http/body.h"
#include "core/task.h"

namespace oxbow::mirror {

struct Got {
  std::string bytes;
  std::optional<Error> cut;
};

/// What must come true, and does so without the test's doing. False: it did not within a minute, which only a failing
/// test waits for.
inline bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class Reader : public std::enable_shared_from_this<Reader> {
 public:
  Reader(Loop& loop, std::unique_ptr<http::Body> body, std::size_t stop_after)
      : loop_(loop), body_(std::move(body)), stop_after_(stop_after) {}

  std::future<Got> run() {
    auto future = done_.get_future();
    asio::post(loop_, [self = shared_from_this()] { self->step(); });
    return future;
  }

 private:
  void step() {
    for (;;) {
      if (got_.bytes.size() >= stop_after_) return finish();
      auto piece = body_->next(256 * 1024);
      if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) {
        got_.bytes += memory->bytes;
      } else if (const auto* file = std::get_if<http::FilePiece>(&piece)) {
        std::string part(file->length, '\0');
        if (::pread(file->fd, part.data(), part.size(), static_cast<off_t>(file->offset)) !=
            static_cast<ssize_t>(part.size())) {
          got_.cut = Error(Errc::kIo, "short file");
          return finish();
        }
        got_.bytes += part;
      } else if (std::holds_alternative<http::Wait>(piece)) {
        body_->on_ready([self = shared_from_this()] { self->step(); });
        return;
      } else {
        if (const auto* cut = std::get_if<http::Cut>(&piece)) got_.cut = cut->error;
        return finish();
      }
    }
  }

  void finish() {
    body_.reset();
    done_.set_value(std::move(got_));
  }

  Loop& loop_;
  std::unique_ptr<http::Body> body_;
  std::size_t stop_after_;
  Got got_;
  std::promise<Got> done_;
};

}  // namespace oxbow::mirror

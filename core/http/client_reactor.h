// What all client connections of one loop share: an epoll set and scratch memory. An Asio service, because a loop has
// no other place for what belongs to it. Thread rule: the loop. Lifetime: the loop's.
#pragma once

#include <span>
#include <vector>

#include "core/http/event_set.h"

namespace oxbow::http {

class ClientReactor final : public boost::asio::execution_context::service {
 public:
  static boost::asio::execution_context::id id;  // Asio's way to find a service

  static ClientReactor& of(Loop& loop) { return boost::asio::use_service<ClientReactor>(loop); }
  explicit ClientReactor(boost::asio::execution_context& loop);

  /// Edge-triggered. False when the process has no descriptor or memory left for it.
  bool watch(int fd, EventTarget& target);
  void unwatch(int fd, EventTarget& target);
  void note_bytes(std::size_t bytes) noexcept {
    if (events_) events_->note_bytes(bytes);
  }

  /// Memory for one read or one write, free again when the caller returns to the loop.
  std::span<char> read_scratch() noexcept { return read_scratch_; }
  std::span<char> write_scratch() noexcept { return write_scratch_; }

 private:
  void shutdown() override { events_.reset(); }

  Loop& loop_;
  std::shared_ptr<EventSet> events_;
  std::size_t watched_ = 0;
  std::vector<char> read_scratch_;
  std::vector<char> write_scratch_;
};

}  // namespace oxbow::http

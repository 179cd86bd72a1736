// Sockets of one loop in an epoll set of their own, which the loop watches as one descriptor. Asio re-arms a socket
// with a system call for every wait; here a wait costs none, one wake-up serves up to 256 sockets, and EPOLLRDHUP tells
// of a peer that left while nothing is read from it. Thread rule: everything on the loop, except `create`. Lifetime:
// shared with the wait that runs; a target is unwatched, or its descriptor closed, before it is destroyed.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/error.h"
#include "core/loop_ticks.h"
#include "core/task.h"

namespace oxbow::http {

/// What epoll tells: a connection or a listening socket.
class EventTarget {
 public:
  virtual ~EventTarget() = default;
  virtual void on_event(std::uint32_t events) = 0;
};

/// As network cards moderate interrupts: where bytes trickle in, each packet would wake the loop, and a wake-up costs
/// as much as the packet. A batch that comes soon after the one before, and brought few bytes, is followed by a rest
/// until the loop's next tick; what comes meanwhile is taken in one batch. The first news after a silence never wait,
/// and a fast stream is not held up.
struct Moderation {
  std::size_t below_bytes = 0;  ///< a batch; 0: never
};

class EventSet final : public LoopTicks::Work, public std::enable_shared_from_this<EventSet> {
 public:
  /// `before` and `after` frame every batch of events.
  static Result<std::shared_ptr<EventSet>> create(Loop& loop, std::function<void()> before, std::function<void()> after,
                                                  Moderation moderation = {});
  EventSet(Loop& loop, int epoll_fd, std::function<void()> before, std::function<void()> after, Moderation moderation);
  ~EventSet() override;
  EventSet(const EventSet&) = delete;
  EventSet& operator=(const EventSet&) = delete;

  /// Waits for events until `pause` or `stop`: a wait keeps the loop running.
  void start();
  void pause();
  /// For good.
  void stop();

  bool watch(int fd, EventTarget& target, bool edge_triggered);
  /// Also from within a batch: nothing is told to the target afterwards.
  void unwatch(int fd, EventTarget& target);
  /// Of the batch that is being told: bytes that a target has read.
  void note_bytes(std::size_t bytes) noexcept { batch_bytes_ += bytes; }

 private:
  using Time = LoopTicks::Time;

  void wait_for_events(std::uint64_t turn);
  void take_events();
  bool may_rest();
  void rest();
  bool on_tick(Time now) override;

  const int fd_;
  const Moderation moderation_;
  boost::asio::posix::stream_descriptor epoll_;  ///< watches fd_, but not while it rests
  LoopTicks& ticks_;
  std::function<void()> before_;
  std::function<void()> after_;
  std::array<epoll_event, 256> batch_{};
  int batch_size_ = 0;
  std::size_t batch_bytes_ = 0;
  Time last_batch_{};
  std::uint64_t turn_ = 0;  // of start and pause: an older wait that still fires does nothing
  bool waiting_ = false;
  bool resting_ = false;
  bool stopped_ = false;
};

}  // namespace oxbow::http

#include "core/http/event_set.h"

#include <unistd.h>

#include <cerrno>
#include <span>

namespace oxbow::http {

Result<std::shared_ptr<EventSet>> EventSet::create(Loop& loop, std::function<void()> before,
                                                   std::function<void()> after, Moderation moderation) {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return std::unexpected(errno_error(errno, "epoll_create"));
  return std::make_shared<EventSet>(loop, epoll_fd, std::move(before), std::move(after), moderation);
}

EventSet::EventSet(Loop& loop, int epoll_fd, std::function<void()> before, std::function<void()> after,
                   Moderation moderation)
    : fd_(epoll_fd),
      moderation_(moderation),
      epoll_(loop, epoll_fd),
      ticks_(LoopTicks::of(loop)),
      before_(std::move(before)),
      after_(std::move(after)) {}

EventSet::~EventSet() {
  // Once stopped there is no wait, and the descriptor is this object's.
  if (epoll_.is_open()) epoll_.release();
  ::close(fd_);
}

void EventSet::start() {
  if (stopped_ || std::exchange(waiting_, true)) return;
  ++turn_;
  if (!resting_) wait_for_events(turn_);
}

void EventSet::pause() {
  if (stopped_ || !std::exchange(waiting_, false)) return;
  ++turn_;
  if (epoll_.is_open()) epoll_.cancel();
}

void EventSet::stop() {
  if (std::exchange(stopped_, true)) return;
  if (epoll_.is_open()) epoll_.release();
}

void EventSet::wait_for_events(std::uint64_t turn) {
  if (!epoll_.is_open()) {
    boost::system::error_code error;
    epoll_.assign(fd_, error);
    // No memory for the loop to watch it: looked at again after a rest.
    if (error) return rest();
  }
  epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this(), turn](const boost::system::error_code& error) {
                      if (error || self->stopped_ || self->turn_ != turn) return;
                      self->take_events();
                      if (self->stopped_ || self->turn_ != turn) return;
                      if (self->may_rest()) return self->rest();
                      self->wait_for_events(turn);
                    });
}

bool EventSet::may_rest() {
  if (moderation_.below_bytes == 0) return false;
  const auto now = std::chrono::steady_clock::now();
  const auto before = std::exchange(last_batch_, now);
  return batch_bytes_ > 0 && batch_bytes_ < moderation_.below_bytes && now - before < 2 * LoopTicks::kEvery;
}

/// The loop must not watch the set meanwhile: every packet would wake it.
void EventSet::rest() {
  if (epoll_.is_open()) epoll_.release();
  if (!std::exchange(resting_, true)) ticks_.add(shared_from_this());
}

bool EventSet::on_tick(Time) {
  resting_ = false;
  if (!stopped_ && waiting_) wait_for_events(turn_);
  return true;
}

void EventSet::take_events() {
  batch_bytes_ = 0;
  batch_size_ = ::epoll_wait(fd_, batch_.data(), static_cast<int>(batch_.size()), 0);
  before_();
  for (int i = 0; i < batch_size_ && !stopped_; ++i) {
    const auto& event = batch_[static_cast<std::size_t>(i)];
    if (event.data.ptr != nullptr) static_cast<EventTarget*>(event.data.ptr)->on_event(event.events);
  }
  batch_size_ = 0;
  if (!stopped_) after_();
}

bool EventSet::watch(int fd, EventTarget& target, bool edge_triggered) {
  epoll_event event{};
  event.events = edge_triggered ? static_cast<std::uint32_t>(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
                                : static_cast<std::uint32_t>(EPOLLIN);
  event.data.ptr = &target;
  return ::epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventSet::unwatch(int fd, EventTarget& target) {
  if (!stopped_) ::epoll_ctl(fd_, EPOLL_CTL_DEL, fd, nullptr);
  for (auto& event : std::span(batch_).first(static_cast<std::size_t>(std::max(batch_size_, 0)))) {
    if (event.data.ptr == &target) event.data.ptr = nullptr;
  }
}

}  // namespace oxbow::http

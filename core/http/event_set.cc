#include "core/http/event_set.h"

#include <cerrno>
#include <span>

namespace oxbow::http {

Result<std::shared_ptr<EventSet>> EventSet::create(Loop& loop, std::function<void()> before,
                                                   std::function<void()> after) {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return std::unexpected(errno_error(errno, "epoll_create"));
  return std::make_shared<EventSet>(loop, epoll_fd, std::move(before), std::move(after));
}

EventSet::EventSet(Loop& loop, int epoll_fd, std::function<void()> before, std::function<void()> after)
    : epoll_(loop, epoll_fd), before_(std::move(before)), after_(std::move(after)) {}

void EventSet::start() {
  if (stopped_ || std::exchange(waiting_, true)) return;
  wait_for_events(++turn_);
}

void EventSet::pause() {
  if (stopped_ || !std::exchange(waiting_, false)) return;
  ++turn_;
  epoll_.cancel();
}

void EventSet::stop() {
  if (std::exchange(stopped_, true)) return;
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

void EventSet::wait_for_events(std::uint64_t turn) {
  epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                    [self = shared_from_this(), turn](const boost::system::error_code& error) {
                      if (error || self->stopped_ || self->turn_ != turn) return;
                      self->take_events();
                      if (!self->stopped_ && self->turn_ == turn) self->wait_for_events(turn);
                    });
}

void EventSet::take_events() {
  batch_size_ = ::epoll_wait(epoll_.native_handle(), batch_.data(), static_cast<int>(batch_.size()), 0);
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
  return ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventSet::unwatch(int fd, EventTarget& target) {
  if (!stopped_) ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
  for (auto& event : std::span(batch_).first(static_cast<std::size_t>(std::max(batch_size_, 0)))) {
    if (event.data.ptr == &target) event.data.ptr = nullptr;
  }
}

}  // namespace oxbow::http

#include "p2p/upload_slots.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <deque>
#include <mutex>

namespace oxbow::p2p {
namespace {

struct Waiter {
  explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
  asio::steady_timer timer;
  bool granted = false;  // under the state's lock
};

}  // namespace

struct UploadSlots::State {
  State(std::uint32_t slots_in, std::uint32_t waiting, Gauge& used_gauge, Counter& hits_in)
      : slots(std::max(slots_in, 1U)), max_waiting(waiting), gauge(used_gauge), hits(hits_in) {}

  const std::uint32_t slots;
  const std::uint32_t max_waiting;
  Gauge& gauge;
  Counter& hits;

  mutable std::mutex mutex;
  std::uint32_t used = 0;
  std::deque<std::shared_ptr<Waiter>> waiters;

  void release() {
    const std::lock_guard lock(mutex);
    if (waiters.empty()) {
      --used;
      gauge.Set(used);
      return;
    }
    auto next = std::move(waiters.front());
    waiters.pop_front();
    next->granted = true;
    // The timer belongs to the waiter's loop. By the time this runs there, the wait has begun.
    asio::post(next->timer.get_executor(), [next] { next->timer.cancel(); });
  }
};

UploadSlots::Slot::~Slot() {
  if (state_) state_->release();
}

UploadSlots::UploadSlots(std::uint32_t slots, std::uint32_t waiting, Gauge& used, Counter& hits)
    : state_(std::make_shared<State>(slots, waiting, used, hits)) {}

UploadSlots::~UploadSlots() = default;

Task<std::optional<UploadSlots::Slot>> UploadSlots::acquire(std::chrono::milliseconds wait) {
  auto state = state_;
  const auto waiter = std::make_shared<Waiter>(co_await asio::this_coro::executor);
  {
    const std::lock_guard lock(state->mutex);
    if (state->used < state->slots) {
      state->gauge.Set(++state->used);
      co_return Slot(std::move(state));
    }
    if (state->waiters.size() >= state->max_waiting || wait.count() <= 0) {
      state->hits.Increment();
      co_return std::nullopt;
    }
    state->waiters.push_back(waiter);
  }
  waiter->timer.expires_after(wait);
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const std::lock_guard lock(state->mutex);
  if (waiter->granted) co_return Slot(state);
  std::erase(state->waiters, waiter);
  state->hits.Increment();
  co_return std::nullopt;
}

Load UploadSlots::load() const {
  const std::lock_guard lock(state_->mutex);
  return {state_->used, state_->slots, static_cast<std::uint32_t>(state_->waiters.size())};
}

}  // namespace oxbow::p2p

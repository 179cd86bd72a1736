#include "p2p/upload_slots.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <deque>
#include <mutex>

namespace oxbow::p2p {
namespace {

struct Waiter {
  Waiter(const asio::any_io_executor& executor, std::uint64_t what_in) : timer(executor), what(what_in) {}
  asio::steady_timer timer;
  const std::uint64_t what;
  bool granted = false;  // under the state's lock
};

}  // namespace

struct UploadSlots::State {
  State(Limits limits_in, Gauge& gauge_in, Counter& hits_in, Counter& same_hits_in)
      : limits{std::max(limits_in.slots, 1U), std::max(limits_in.same, 1U), limits_in.waiting},
        gauge(gauge_in),
        hits(hits_in),
        same_hits(same_hits_in) {}

  const Limits limits;
  Gauge& gauge;
  Counter& hits;
  Counter& same_hits;

  mutable std::mutex mutex;
  std::vector<std::uint64_t> sent;  // of each slot that is taken
  std::deque<std::shared_ptr<Waiter>> waiters;

  // With the lock:
  bool full() const { return sent.size() >= limits.slots; }
  bool free_for(std::uint64_t what) const {
    return !full() && (what == kAnything || std::ranges::count(sent, what) < static_cast<std::ptrdiff_t>(limits.same));
  }
  void take(std::uint64_t what) {
    sent.push_back(what);
    gauge.Set(static_cast<double>(sent.size()));
  }
  void refused() { (full() ? hits : same_hits).Increment(); }

  // Room for one thing more: whoever else waits still waits for a slot, or for another thing's copies.
  void release(std::uint64_t what) {
    const std::lock_guard lock(mutex);
    const auto gone = std::ranges::find(sent, what);
    OXBOW_INVARIANT(gone != sent.end());
    *gone = sent.back();
    sent.pop_back();
    gauge.Set(static_cast<double>(sent.size()));
    const auto next = std::ranges::find_if(waiters, [this](const auto& one) { return free_for(one->what); });
    if (next == waiters.end()) return;
    const auto waiter = std::move(*next);
    waiters.erase(next);
    take(waiter->what);
    waiter->granted = true;
    // The timer belongs to the waiter's loop. By the time this runs there, the wait has begun.
    asio::post(waiter->timer.get_executor(), [waiter] { waiter->timer.cancel(); });
  }
};

UploadSlots::Slot::~Slot() {
  if (state_) state_->release(what_);
}

UploadSlots::UploadSlots(Limits limits, Gauge& used, Counter& hits, Counter& same_hits)
    : state_(std::make_shared<State>(limits, used, hits, same_hits)) {}

UploadSlots::~UploadSlots() = default;

Task<std::optional<UploadSlots::Slot>> UploadSlots::acquire(std::chrono::milliseconds wait, std::uint64_t what) {
  auto state = state_;
  const auto waiter = std::make_shared<Waiter>(co_await asio::this_coro::executor, what);
  {
    const std::lock_guard lock(state->mutex);
    if (state->free_for(what)) {
      state->take(what);
      co_return Slot(std::move(state), what);
    }
    if (state->waiters.size() >= state->limits.waiting || wait.count() <= 0) {
      state->refused();
      co_return std::nullopt;
    }
    state->waiters.push_back(waiter);
  }
  waiter->timer.expires_after(wait);
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const std::lock_guard lock(state->mutex);
  if (waiter->granted) co_return Slot(state, what);
  std::erase(state->waiters, waiter);
  state->refused();
  co_return std::nullopt;
}

Load UploadSlots::load() const {
  const std::lock_guard lock(state_->mutex);
  return {static_cast<std::uint32_t>(state_->sent.size()), state_->limits.slots,
          static_cast<std::uint32_t>(state_->waiters.size())};
}

}  // namespace oxbow::p2p

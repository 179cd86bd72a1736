#include "p2p/upload_slots.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <deque>
#include <mutex>

namespace oxbow::p2p {
namespace {

struct Waiter {
  Waiter(const asio::any_io_executor& executor, PeerId who_in, UploadSlots::What what_in)
      : timer(executor), who(who_in), what(what_in) {}
  asio::steady_timer timer;
  const PeerId who;
  const UploadSlots::What what;
  bool granted = false;  // under the state's lock
};

}  // namespace

struct UploadSlots::State {
  State(Limits limits_in, Metrics metrics_in, const Clock& clock_in)
      : limits{std::max(limits_in.slots, 1U), std::max(limits_in.same, 1U), limits_in.waiting},
        share((limits.slots + 1) / 2),
        metrics(metrics_in),
        clock(clock_in) {}

  const Limits limits;
  const std::uint32_t share;  // of one asker while others are about
  const Metrics metrics;
  const Clock& clock;

  mutable std::mutex mutex;
  struct Taken {
    PeerId who;
    std::uint64_t what;
    Clock::Steady since;
  };
  std::vector<Taken> sent;  // each slot that is taken
  std::deque<std::shared_ptr<Waiter>> waiters;
  struct Seen {
    PeerId who = kNoPeer;
    Clock::Steady at;
  };
  Seen last;    // who asked or had a slot last,
  Seen before;  // and who of the others did

  // With the lock:
  bool full() const { return sent.size() >= limits.slots; }
  void note(PeerId who) {
    if (last.who != who) before = std::exchange(last, {.who = who, .at = {}});
    last.at = clock.steady();
  }
  bool others_about(PeerId who) const {
    const auto other = [who](const auto& one) { return one.who != who; };
    if (std::ranges::any_of(sent, other)) return true;
    if (std::ranges::any_of(waiters, [&](const auto& one) { return other(*one); })) return true;
    const auto& seen = last.who == who ? before : last;
    return seen.who != kNoPeer && clock.steady() - seen.at < kAbout;
  }
  bool has_share(PeerId who) const {
    return std::ranges::count(sent, who, &Taken::who) >= static_cast<std::ptrdiff_t>(share) && others_about(who);
  }
  bool is_its_turn(What what) const {
    const auto now = clock.steady();
    return !what.in_turn || std::ranges::none_of(sent, [&](const Taken& one) {
      return one.what == what.number && now - one.since < kTurn;
    });
  }
  bool may_be_copied(What what) const {
    if (what.number == kAnything) return true;
    return std::ranges::count(sent, what.number, &Taken::what) < static_cast<std::ptrdiff_t>(limits.same) &&
           is_its_turn(what);
  }
  bool free_for(PeerId who, What what) const { return !full() && !has_share(who) && may_be_copied(what); }
  void take(PeerId who, std::uint64_t what) {
    sent.push_back({who, what, clock.steady()});
    metrics.used.Set(static_cast<double>(sent.size()));
  }
  void refused(PeerId who) {
    (full() ? metrics.all_hits : has_share(who) ? metrics.share_hits : metrics.same_hits).Increment();
  }

  // Room for one thing more: whoever else waits still waits for a slot, for another thing's copies, or for its share.
  void release(PeerId who, std::uint64_t what) {
    const std::lock_guard lock(mutex);
    const auto gone = std::ranges::find_if(sent, [&](const Taken& one) { return one.who == who && one.what == what; });
    OXBOW_INVARIANT(gone != sent.end());
    *gone = sent.back();
    sent.pop_back();
    note(who);
    metrics.used.Set(static_cast<double>(sent.size()));
    const auto next = std::ranges::find_if(waiters, [this](const auto& one) { return free_for(one->who, one->what); });
    if (next == waiters.end()) return;
    const auto waiter = std::move(*next);
    waiters.erase(next);
    take(waiter->who, waiter->what.number);
    waiter->granted = true;
    // The timer belongs to the waiter's loop. By the time this runs there, the wait has begun.
    asio::post(waiter->timer.get_executor(), [waiter] { waiter->timer.cancel(); });
  }
};

UploadSlots::Slot::~Slot() {
  if (state_) state_->release(who_, what_);
}

UploadSlots::UploadSlots(Limits limits, Metrics metrics, const Clock& clock)
    : state_(std::make_shared<State>(limits, metrics, clock)) {}

UploadSlots::~UploadSlots() = default;

Task<std::optional<UploadSlots::Slot>> UploadSlots::acquire(std::chrono::milliseconds wait, PeerId who, What what) {
  auto state = state_;
  const auto waiter = std::make_shared<Waiter>(co_await asio::this_coro::executor, who, what);
  {
    const std::lock_guard lock(state->mutex);
    state->note(who);
    if (state->free_for(who, what)) {
      state->take(who, what.number);
      co_return Slot(std::move(state), who, what.number);
    }
    const bool in_vain = !state->full() && !state->has_share(who) && !state->is_its_turn(what);
    if (in_vain || state->waiters.size() >= state->limits.waiting || wait.count() <= 0) {
      state->refused(who);
      co_return std::nullopt;
    }
    state->waiters.push_back(waiter);
  }
  waiter->timer.expires_after(wait);
  boost::system::error_code ignored;
  co_await waiter->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const std::lock_guard lock(state->mutex);
  if (waiter->granted) co_return Slot(state, who, what.number);
  std::erase(state->waiters, waiter);
  state->refused(who);
  co_return std::nullopt;
}

Load UploadSlots::load() const {
  const std::lock_guard lock(state_->mutex);
  return {static_cast<std::uint32_t>(state_->sent.size()), state_->limits.slots,
          static_cast<std::uint32_t>(state_->waiters.size())};
}

}  // namespace oxbow::p2p

#include "mirror/upstream/slots.h"

namespace oxbow::mirror::upstream {

struct Slots::Waiter {
  explicit Waiter(const asio::any_io_executor& executor) : signal(executor) {}
  Signal signal;
  bool granted = false;
  bool taken = false;
};

Task<Result<Slots::Slot>> Slots::acquire(FetchClass fetch_class, SteadyTime until) {
  struct Leave {
    Slots& slots;
    Waiter& waiter;
    ~Leave() { slots.leave(waiter); }
  };
  const auto self = shared_from_this();
  const auto waiter = std::make_shared<Waiter>(co_await asio::this_coro::executor);
  {
    std::lock_guard lock(mutex_);
    if (free_ > 0) {
      --free_;
      co_return Slot(self);
    }
    queues_[static_cast<std::size_t>(fetch_class)].push_back(waiter);
  }
  const Leave leave{*this, *waiter};
  hits_.Increment();
  co_await waiter->signal.wait(until);
  {
    std::lock_guard lock(mutex_);
    waiter->taken = waiter->granted;
  }
  if (!waiter->taken) co_return fail(Errc::kLimit, "too many exchanges with this registry (max_connections)");
  co_return Slot(self);
}

void Slots::give_back() noexcept {
  std::lock_guard lock(mutex_);
  for (auto& queue : queues_) {
    if (queue.empty()) continue;
    const auto waiter = queue.front();
    queue.pop_front();
    waiter->granted = true;
    asio::post(waiter->signal.executor(), [waiter] { waiter->signal.notify(); });
    return;
  }
  ++free_;
}

void Slots::leave(Waiter& waiter) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (waiter.taken) return;
    if (!waiter.granted) {
      for (auto& queue : queues_) std::erase_if(queue, [&](const auto& held) { return held.get() == &waiter; });
      return;
    }
  }
  give_back();
}

}  // namespace oxbow::mirror::upstream

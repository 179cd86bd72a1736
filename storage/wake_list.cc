#include "storage/wake_list.h"

#include <algorithm>
#include <atomic>
#include <thread>

namespace oxbow::storage {

struct WakeList::Slot {
  std::mutex running;  ///< held while the callback runs
  std::atomic<std::thread::id> runner;
  bool dead = false;
  std::function<void()> wake;
};

struct WakeList::State {
  std::mutex mutex;
  std::vector<std::shared_ptr<Slot>> slots;
};

class WakeList::Handle final : public Subscription {
 public:
  Handle(std::shared_ptr<State> state, std::shared_ptr<Slot> slot) : state_(std::move(state)), slot_(std::move(slot)) {}

  ~Handle() override {
    {
      const std::lock_guard lock(state_->mutex);
      std::erase(state_->slots, slot_);
    }
    if (slot_->runner.load() == std::this_thread::get_id()) {
      slot_->dead = true;  // from inside its own callback, which holds `running`
      return;
    }
    const std::lock_guard lock(slot_->running);
    slot_->dead = true;
  }

 private:
  std::shared_ptr<State> state_;
  std::shared_ptr<Slot> slot_;
};

std::shared_ptr<WakeList::State> WakeList::state() {
  const std::lock_guard lock(mutex_);
  if (!state_) state_ = std::make_shared<State>();
  return state_;
}

std::unique_ptr<Subscription> WakeList::add(std::function<void()> wake) {
  auto shared = state();
  auto slot = std::make_shared<Slot>();
  slot->wake = std::move(wake);
  {
    const std::lock_guard lock(shared->mutex);
    shared->slots.push_back(slot);
  }
  return std::make_unique<Handle>(std::move(shared), std::move(slot));
}

void WakeList::wake_all() {
  std::shared_ptr<State> shared;
  {
    const std::lock_guard lock(mutex_);
    shared = state_;
  }
  if (!shared) return;
  std::vector<std::shared_ptr<Slot>> slots;
  {
    const std::lock_guard lock(shared->mutex);
    slots = shared->slots;
  }
  for (const auto& slot : slots) {
    const std::lock_guard lock(slot->running);
    if (slot->dead) continue;
    slot->runner = std::this_thread::get_id();
    slot->wake();
    slot->runner = std::thread::id();
  }
}

bool WakeList::empty() const {
  std::shared_ptr<State> shared;
  {
    const std::lock_guard lock(mutex_);
    shared = state_;
  }
  if (!shared) return true;
  const std::lock_guard lock(shared->mutex);
  return shared->slots.empty();
}

}  // namespace oxbow::storage

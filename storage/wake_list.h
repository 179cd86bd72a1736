// Callbacks that are told "something changed": the waiters of a blob, and of the write arena.
//
// Thread rule: all methods from any thread. `wake_all` calls without the list's lock; a callback may subscribe, and may
// destroy its own subscription. Destroying a subscription from elsewhere waits until its callback has returned: do not
// do it while holding a lock that the callback takes.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/store.h"

namespace oxbow::storage {

class WakeList {
 public:
  std::unique_ptr<Subscription> add(std::function<void()> wake);
  void wake_all();
  bool empty() const;

 private:
  struct Slot;
  struct State;
  class Handle;
  std::shared_ptr<State> state();

  mutable std::mutex mutex_;
  std::shared_ptr<State> state_;  ///< made by the first subscriber: most blobs never have one
};

}  // namespace oxbow::storage

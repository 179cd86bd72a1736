// A value that changes now and then and is read all the time: published whole, immutable, read without locks. Each
// thread keeps what it has read last, and looks whether something newer was published by one atomic load. Only its
// first read after that takes a lock, which is held for the copy of a pointer. (std::atomic<std::shared_ptr> spins, and
// std::atomic_load of one takes a mutex, for every read.)
// Thread rule: all methods from any thread. Lifetime: a value lives until its last reader lets go of it, and each
// thread holds the one that it has read last, of all of that type, until its next read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace oxbow {

template <typename T>
class Published {
 public:
  using Value = std::shared_ptr<const T>;

  /// Null before the first `publish`.
  Value read() const noexcept {
    thread_local Seen seen;
    if (seen.version != version_.load(std::memory_order_acquire)) look_again(seen);
    return seen.value;
  }

  /// Reads that begin after it has returned see this value or a newer one.
  void publish(Value value) noexcept {
    const std::lock_guard lock(mutex_);
    value_.swap(value);  // what was there before is let go of outside the lock
    version_.store(next_version.fetch_add(1) + 1, std::memory_order_release);
  }

 private:
  /// Versions are of all objects of the type, so that one is never taken for another that lay there before.
  struct Seen {
    std::uint64_t version = 0;
    Value value;
  };

  void look_again(Seen& seen) const noexcept {
    Value old = std::move(seen.value);
    const std::lock_guard lock(mutex_);
    seen.value = value_;
    seen.version = version_.load(std::memory_order_relaxed);
  }

  static inline std::atomic<std::uint64_t> next_version = 1;
  mutable std::mutex mutex_;
  Value value_;
  std::atomic<std::uint64_t> version_ = 1;  ///< nothing yet; 0: a thread that has read nothing
};

}  // namespace oxbow

// Time behind an interface, so that tests and the simulator own it.
// Thread rule: all methods from any thread.
#pragma once

#include <atomic>
#include <chrono>

namespace oxbow {

class Clock {
 public:
  using Steady = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  virtual ~Clock() = default;
  virtual Steady steady() const noexcept = 0;
  virtual Wall wall() const noexcept = 0;
};

class SystemClock final : public Clock {
 public:
  Steady steady() const noexcept override { return std::chrono::steady_clock::now(); }
  Wall wall() const noexcept override { return std::chrono::system_clock::now(); }
};

/// A clock that moves only when told to.
class ManualClock final : public Clock {
 public:
  Steady steady() const noexcept override { return Steady(std::chrono::milliseconds(now_ms_.load())); }
  Wall wall() const noexcept override { return Wall(std::chrono::milliseconds(kEpochMs + now_ms_.load())); }
  void advance(std::chrono::milliseconds by) { now_ms_ += by.count(); }

 private:
  static constexpr std::int64_t kEpochMs = 1'700'000'000'000;
  std::atomic<std::int64_t> now_ms_{1'000'000};
};

}  // namespace oxbow

// One bit a stripe, read without a lock.
// Thread rule: every method from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace oxbow::storage {

class AtomicBitmap {
 public:
  explicit AtomicBitmap(std::uint32_t bits)
      : words_(std::make_unique<std::atomic<std::uint64_t>[]>((bits + 63) / 64)) {}

  bool test(std::uint32_t bit) const noexcept {
    return (words_[bit / 64].load(std::memory_order_acquire) & mask(bit)) != 0;
  }
  /// True: it was clear before.
  bool set(std::uint32_t bit) noexcept {
    return (words_[bit / 64].fetch_or(mask(bit), std::memory_order_acq_rel) & mask(bit)) == 0;
  }
  /// True: it was set before.
  bool clear(std::uint32_t bit) noexcept {
    return (words_[bit / 64].fetch_and(~mask(bit), std::memory_order_acq_rel) & mask(bit)) != 0;
  }

 private:
  static std::uint64_t mask(std::uint32_t bit) noexcept { return std::uint64_t{1} << bit % 64; }
  std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
};

}  // namespace oxbow::storage

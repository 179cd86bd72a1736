// The write arena: the bytes accepted by stripe writers and not yet in a file. One mapping cut into chunks, so that its
// memory is bounded and goes back to the system when nothing is being written.
// Thread rule: all methods from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "storage/wake_list.h"

namespace oxbow::storage {

inline constexpr std::size_t kChunkBytes = 64UL * 1024;

class WriteArena {
 public:
  /// At least one stripe of the largest size, so that every single write fits once the arena is empty.
  explicit WriteArena(std::uint64_t bytes);
  ~WriteArena();
  WriteArena(const WriteArena&) = delete;
  WriteArena& operator=(const WriteArena&) = delete;

  /// `count` chunks into `out`, or none of them: then the next release past the low mark wakes the waiters.
  bool take(std::size_t count, std::vector<std::byte*>& out);
  /// Returns chunks. True: somebody was refused and should be told now, by `waiters().wake_all()` without locks held.
  [[nodiscard]] bool release(std::vector<std::byte*>& chunks);
  WakeList& waiters() noexcept { return waiters_; }
  /// Gives the pages of an arena back to the system that was not used between the last `kIdleLooks` calls: touching
  /// them again costs a fault each, and between two stripes of a slow link an arena is empty for a moment.
  void trim();
  static constexpr int kIdleLooks = 8;
  std::size_t chunks_in_use() const;
  /// Memory that waits for more bytes to come is better used by others.
  bool half_used() const { return 2 * chunks_in_use() >= chunks_; }

 private:
  mutable std::mutex mutex_;
  std::byte* memory_ = nullptr;
  const std::size_t chunks_;
  std::vector<std::uint32_t> free_;  ///< a stack: the chunk used last is used next, so few pages are ever touched
  bool refused_ = false;
  bool resident_ = false;  ///< pages of it may be in memory
  int idle_looks_ = 0;     ///< since chunks were taken
  WakeList waiters_;
};

}  // namespace oxbow::storage

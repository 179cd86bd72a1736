// The buffers in which bytes of peers wait between two loops. A stripe is asked for every few milliseconds, and buffers
// made anew for each cost page faults (docs/benchmarks.md#fleets).
// Thread rule: all methods from any thread. Lifetime: shared by the streams of a client.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace oxbow::p2p {

class StreamChunks {
 public:
  static constexpr std::size_t kChunkBytes = 64UL * 1024;
  /// Kept for the next bytes, the last used first: 2 MiB.
  static constexpr std::size_t kSpare = 32;
  static constexpr std::size_t kFewBytes = 4UL * 1024;

  /// Empty; with room for `kChunkBytes` where a stripe's bytes begin, not for the few of a have stream.
  std::string take(std::size_t first_bytes) {
    std::string chunk;
    if (first_bytes < kFewBytes) return chunk;
    {
      const std::lock_guard lock(mutex_);
      if (!spare_.empty()) {
        chunk = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    chunk.reserve(kChunkBytes);
    return chunk;
  }

  void give_back(std::string chunk) {
    if (chunk.capacity() < kChunkBytes) return;
    chunk.clear();
    const std::lock_guard lock(mutex_);
    if (spare_.size() < kSpare) spare_.push_back(std::move(chunk));
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> spare_;
};

}  // namespace oxbow::p2p

#include "storage/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace oxbow::storage {

WriteArena::WriteArena(std::uint64_t bytes) : chunks_(std::max(bytes, kMaxStripeBytes + kChunkBytes) / kChunkBytes) {
  void* memory = ::mmap(nullptr, chunks_ * kChunkBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  OXBOW_INVARIANT(memory != MAP_FAILED);
  memory_ = static_cast<std::byte*>(memory);
  // Large pages where the system has them: a fault for 2 MiB instead of one for each 4 KiB.
  ::madvise(memory_, chunks_ * kChunkBytes, MADV_HUGEPAGE);
  for (std::size_t i = chunks_; i > 0; --i) free_.push_back(static_cast<std::uint32_t>(i - 1));
}

WriteArena::~WriteArena() { ::munmap(memory_, chunks_ * kChunkBytes); }

bool WriteArena::take(std::size_t count, std::vector<std::byte*>& out) {
  const std::lock_guard lock(mutex_);
  if (free_.size() < count) {
    refused_ = true;
    return false;
  }
  resident_ = true;
  idle_looks_ = 0;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(memory_ + std::size_t{free_.back()} * kChunkBytes);
    free_.pop_back();
  }
  return true;
}

bool WriteArena::release(std::vector<std::byte*>& chunks) {
  const std::lock_guard lock(mutex_);
  for (std::byte* chunk : chunks) {
    free_.push_back(static_cast<std::uint32_t>(static_cast<std::size_t>(chunk - memory_) / kChunkBytes));
  }
  chunks.clear();
  // A quarter free before anybody is woken: otherwise each freed chunk would wake every writer for nothing.
  if (!refused_ || free_.size() * 4 < chunks_) return false;
  refused_ = false;
  return true;
}

void WriteArena::trim() {
  const std::lock_guard lock(mutex_);
  if (!resident_ || free_.size() != chunks_ || ++idle_looks_ <= kIdleLooks) return;
  ::madvise(memory_, chunks_ * kChunkBytes, MADV_DONTNEED);
  resident_ = false;
}

std::size_t WriteArena::chunks_in_use() const {
  const std::lock_guard lock(mutex_);
  return chunks_ - free_.size();
}

}  // namespace oxbow::storage

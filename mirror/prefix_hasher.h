// Hashes the in-order prefix of a blob as it grows, keeps the midstate at each stripe boundary, and says at the end
// whether the blob is what its digest says (design section 7). It reads from the blob's file, which is in the page
// cache because it was written a moment ago: 0.1 CPU s/GB beside the 0.57 of SHA-256, and no queue of bytes to bound.
// Thread rule: `poke` from any thread; `done` is called on a pool thread, once. Lifetime: shared; a job under way holds
// it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "core/sha.h"
#include "core/task.h"
#include "storage/store.h"

namespace oxbow::mirror {

class PrefixHasher : public std::enable_shared_from_this<PrefixHasher> {
 public:
  /// `done`: success when the whole blob matched; kCorrupt when it did not.
  PrefixHasher(std::shared_ptr<storage::Blob> blob, WorkPool& pool, std::function<void(Result<>)> done);

  /// More bytes may be readable.
  void poke();
  /// How far the prefix has been hashed.
  std::uint64_t position() const noexcept { return position_.load(); }
  /// The hash state now, for a reader that goes on alone.
  Hasher snapshot() const;

 private:
  void run();
  /// Hashes what is readable, at most one turn's worth. True when it stopped for want of bytes or is finished.
  bool turn();

  std::shared_ptr<storage::Blob> blob_;
  WorkPool& pool_;
  std::function<void(Result<>)> done_;
  mutable std::mutex mutex_;  // hasher_, for snapshot()
  Hasher hasher_;
  std::atomic<std::uint64_t> position_ = 0;
  std::atomic<int> pokes_ = 0;
  bool finished_ = false;
};

/// Whether `stripe`, as stored, leads from its midstate to the next one (or to the digest): the check of a stripe
/// alone. Blocks (reads the stripe). Nothing when the midstates are not known.
std::optional<bool> check_link(storage::Blob& blob, std::uint32_t stripe);

}  // namespace oxbow::mirror

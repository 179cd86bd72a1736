// Hashes the in-order prefix of a blob as it grows, keeps the midstate at each stripe boundary, and says at the end
// whether the blob is what its digest says. A stripe that was hashed alone before the prefix came
// there is stepped over: its link stands. It reads from the blob's file, which is in the page
// cache because it was written a moment ago: 0.1 CPU s/GB beside the 0.57 of SHA-256, and no queue of bytes to bound.
// Thread rule: all methods from any thread; `done` and `on_boundary` are called on a pool thread. Lifetime: shared; a
// job under way holds it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "core/sha.h"
#include "core/task.h"
#include "storage/store.h"

namespace oxbow::mirror {

/// A stripe's part of the chain: the hash state before it and the one after it.
struct StripeLink {
  std::string from;  ///< of the first stripe: not used
  std::string to;    ///< of the last one: not used, the blob's digest is
};

class PrefixHasher : public std::enable_shared_from_this<PrefixHasher> {
 public:
  /// Called (on a pool thread) when the prefix has reached the end of `stripe` with that midstate; false: it does not
  /// look right, hashing stops there until `go_on` or `rewind`.
  using OnBoundary = std::function<bool(std::uint32_t stripe, std::string_view midstate)>;

  /// `done`: success when the whole blob matched; kCorrupt when it did not (and again after each `rewind`); another
  /// error when the file cannot be read, and hashing stands still.
  PrefixHasher(std::shared_ptr<storage::Blob> blob, WorkPool& pool, OnBoundary on_boundary,
               std::function<void(Result<>)> done);

  /// More bytes may be readable.
  void poke();
  /// What looked wrong was right after all.
  void go_on();
  /// `stripe` was wrong and is being replaced: hash again from its begin. Its midstate must be known.
  void rewind(std::uint32_t stripe);
  /// The bytes of `stripe` that are stored now were hashed, and lead from one state to the other. At most so many are
  /// remembered (`kLinksMax`); the others are hashed again.
  void add_link(std::uint32_t stripe, StripeLink link);
  /// Other bytes of `stripe` are about to be written. To be said before the first of them is.
  void forget_link(std::uint32_t stripe);
  /// How far the prefix has been hashed.
  std::uint64_t position() const noexcept;
  /// The hash state now, for a reader that goes on alone.
  Hasher snapshot() const;

 private:
  void run();
  /// Hashes what is readable, at most one turn's worth. True when it stopped for want of bytes or is finished.
  bool turn();
  void take_orders();
  void go_back(std::uint32_t stripe);
  bool pass_boundary(std::uint32_t stripe);
  bool step_over(std::uint32_t stripe);

  std::shared_ptr<storage::Blob> blob_;
  WorkPool& pool_;
  OnBoundary on_boundary_;
  std::function<void(Result<>)> done_;
  mutable std::mutex mutex_;  // hasher_, for snapshot(); held while a stripe is hashed
  Hasher hasher_;
  std::mutex links_mutex_;
  std::unordered_map<std::uint32_t, StripeLink> links_;
  std::atomic<std::uint64_t> position_ = 0;
  std::atomic<int> pokes_ = 0;
  std::atomic<std::int64_t> rewind_to_ = -1;  ///< a stripe
  std::atomic<bool> go_on_ = false;
  bool held_ = false;
  bool finished_ = false;
};

/// By a list of the midstates from stripe 1 on. Nothing when it does not reach that far.
std::optional<StripeLink> link_of(const Geometry& geometry, std::uint32_t stripe,
                                  std::span<const std::string> midstates);

/// Whether `stripe`, as stored, leads from its midstate to the next one (or to the digest): the check of a stripe
/// alone. Blocks (reads the stripe). Nothing when the stripe cannot be read.
std::optional<bool> check_link(storage::Blob& blob, std::uint32_t stripe, const StripeLink& link);

}  // namespace oxbow::mirror

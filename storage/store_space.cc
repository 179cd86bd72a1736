// Budget, floor and eviction.
//
// A stripe is admitted when it begins to be written: its bytes are reserved until they are in the file (stored) or
// given up. Budget: stored and reserved bytes of blobs that are not pinned. Floor: free space as the file system said
// last, less what has been written and reserved since. A victim is forgotten at once, in memory and in the index; its
// file is unlinked on the pool.
#include "core/log.h"
#include "storage/store_impl.h"

namespace oxbow::storage {

std::uint64_t StoreImpl::free_estimate_locked() const {
  const auto used = since_refresh_bytes_ + static_cast<std::int64_t>(reserved_bytes_);
  const auto left = static_cast<std::int64_t>(free_bytes_ + unlinking_bytes_) - used;
  return left > 0 ? static_cast<std::uint64_t>(left) : 0;
}

/// The most that one blob could get if all that may be evicted were.
std::uint64_t StoreImpl::keepable_locked() const {
  const std::uint64_t free = free_estimate_locked();
  const std::uint64_t above_floor = free > floor_bytes_ ? free - floor_bytes_ : 0;
  return std::min(budget_bytes_, above_floor + queue_.bytes());
}

Result<> StoreImpl::admit(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) {
  const std::lock_guard lock(mutex_);
  if (!room_.health.writable()) return std::unexpected(room_.health.error());
  if (!blob.account.listed) return fail(Errc::kNotFound, "the blob was purged");
  const std::uint64_t more = bytes - stored;
  while (!blob.account.pinned && charged_locked() + more > budget_bytes_) {
    if (evict_one_locked(&blob) > 0) continue;
    budget_limit_.Increment();
    return fail(Errc::kNoSpace, "the storage budget is used by what cannot be evicted now");
  }
  while (free_estimate_locked() < floor_bytes_ + more) {
    if (evict_one_locked(&blob) > 0) continue;
    floor_limit_.Increment();
    return fail(Errc::kNoSpace, "the file system is at its free-space floor");
  }
  account_locked(blob, -static_cast<std::int64_t>(stored));
  reserved_bytes_ += bytes;
  return {};
}

void StoreImpl::settle(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) {
  const std::lock_guard lock(mutex_);
  reserved_bytes_ -= bytes;
  if (blob.account.listed) account_locked(blob, static_cast<std::int64_t>(stored));
}

void StoreImpl::dropped(BlobFile& blob, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (blob.account.listed) account_locked(blob, -static_cast<std::int64_t>(bytes));
}

void StoreImpl::account_locked(BlobFile& blob, std::int64_t delta) {
  blob.account.stored_bytes += static_cast<std::uint64_t>(delta);
  stored_bytes_ += static_cast<std::uint64_t>(delta);
  since_refresh_bytes_ += delta;
  if (blob.account.pinned) {
    pinned_bytes_ += static_cast<std::uint64_t>(delta);
  } else {
    queue_.resize(blob.digest(), delta);
  }
}

/// The blob that goes next, whole or, a giant, by a span, in favour of `wanting` (null: of nobody in particular).
std::optional<Digest> StoreImpl::victim_locked(S3Fifo& queue, const BlobFile* wanting,
                                               const std::function<bool(const BlobFile&)>& has_spans) const {
  // A blob that fits does not make room for itself while another can: it would be fetched for nothing. One that does
  // not fit takes its turn, or it would push everything else out and still not be whole.
  const bool spare_wanting = wanting != nullptr && wanting->geometry().blob_bytes() <= budget_bytes_;
  const auto may_go = [&](const Digest& digest, bool sparing, bool unread) {
    const BlobFile& blob = *blobs_.at(digest);
    if (blob.account.stored_bytes == 0 || (sparing && &blob == wanting)) return false;
    if (unread && &blob != wanting && blob.waited_for()) return false;
    if (is_giant(blob)) return has_spans(blob);
    return &blob != wanting && !blob.active();
  };
  // Nor does one that is read now go while another can: its readers would have to go on without the disk.
  auto key = queue.victim([&](const Digest& digest) { return may_go(digest, spare_wanting, true); });
  if (!key) key = queue.victim([&](const Digest& digest) { return may_go(digest, spare_wanting, false); });
  if (!key && spare_wanting) key = queue.victim([&](const Digest& digest) { return may_go(digest, false, false); });
  return key;
}

/// Evicts a blob, or a span of a giant one, in favour of `wanting`. Returns the bytes; 0: nothing may go now.
std::uint64_t StoreImpl::evict_one_locked(const BlobFile* wanting) {
  const auto key =
      victim_locked(queue_, wanting, [](const BlobFile& giant) { return !giant.evictable_spans().empty(); });
  if (!key) return 0;
  const std::shared_ptr<BlobFile> victim = blobs_.at(*key);
  const bool by_span = is_giant(*victim);
  const auto [blob, bytes] =
      by_span ? evict_span_for_locked(victim, wanting) : Gone{victim, victim->account.stored_bytes};
  if (bytes == 0) return 0;
  evicted_bytes_.Increment(static_cast<double>(bytes));
  log::debug("evicted", {{"digest", blob->digest().to_string()}, {"bytes", bytes}});
  const bool empty = !by_span || (blob->account.stored_bytes == 0 && !blob->active() && blob.get() != wanting);
  if (!empty) return bytes;
  if (!queue_.in_main(blob->digest())) queue_.remember(blob->digest());
  forget_locked(blob);
  return bytes;
}

void StoreImpl::forget_locked(const std::shared_ptr<BlobFile>& blob) {
  const std::uint64_t bytes = blob->account.stored_bytes;
  account_locked(*blob, -static_cast<std::int64_t>(bytes));
  since_refresh_bytes_ += static_cast<std::int64_t>(bytes);
  unlinking_bytes_ += bytes;
  blob->account.listed = false;
  queue_.erase(blob->digest());
  blobs_.erase(blob->digest());
  blob->mark_gone();
  if (room_.writer) room_.writer->blob_erased(blob->digest(), blob->geometry().spans());
  remove_file(blob, bytes);
}

void StoreImpl::remove_file(std::shared_ptr<BlobFile> blob, std::uint64_t bytes) {
  room_.submit([this, bytes, blob = std::move(blob)] {
    // Somebody else holds it: he may still read what he has seen.
    if (blob.use_count() > 1) blob->keep_open();
    blob->unlink();
    freed(bytes);
  });
}

void StoreImpl::freed(std::uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    unlinking_bytes_ -= bytes;
  }
  if (bytes > 0) refresh_space();
}

void StoreImpl::refresh_space() {
  std::int64_t before = 0;
  {
    const std::lock_guard lock(mutex_);
    before = since_refresh_bytes_;
  }
  const auto space = room_.disk->space(config_.directory);
  if (!space) return;
  const std::lock_guard lock(mutex_);
  free_bytes_ = space->free_bytes;
  since_refresh_bytes_ -= before;
  budget_bytes_ = config_.budget_bytes.value_or(
      static_cast<std::uint64_t>(static_cast<double>(space->total_bytes) * config_.budget_percent / 100));
  floor_bytes_ = config_.floor_bytes.value_or(
      static_cast<std::uint64_t>(static_cast<double>(space->total_bytes) * config_.floor_percent / 100));
}

/// The budget may have shrunk, other files may have grown, pins may have gone.
void StoreImpl::trim_to_budget() {
  const std::lock_guard lock(mutex_);
  while (charged_locked() > budget_bytes_ || free_estimate_locked() < floor_bytes_) {
    if (evict_one_locked(nullptr) == 0) return;
  }
}

}  // namespace oxbow::storage

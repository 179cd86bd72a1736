#include "storage/store_impl.h"

#include "core/log.h"

namespace oxbow::storage {
namespace {

constexpr std::uint64_t kManifestBytes = 4ULL * 1024 * 1024;
/// A blob that does not fit whole is kept by span when this many of its spans fit: two readers' windows of 64 stripes.
constexpr std::uint64_t kSpansToKeep = 16;
/// Look-ups of a blob within this time are one use.
constexpr std::uint64_t kOneUse_s = 10;

std::string table_key(Table table, std::string_view key) {
  return std::string(1, static_cast<char>(table)) + std::string(key);
}

}  // namespace

std::shared_ptr<Blob> StoreImpl::lookup(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end() || room_.closed.load()) return nullptr;
  use_locked(*found->second);
  return found->second;
}

std::shared_ptr<Blob> StoreImpl::peek(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  return found == blobs_.end() || room_.closed.load() ? nullptr : found->second;
}

Result<std::shared_ptr<Blob>> StoreImpl::reserve(const Digest& digest, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  if (room_.closed.load()) return fail(Errc::kCancelled, "storage is closed");
  if (const auto found = blobs_.find(digest); found != blobs_.end()) {
    if (found->second->geometry().blob_bytes() != size)
      return fail(Errc::kInvalid, "the blob is stored with another size");
    use_locked(*found->second);
    return found->second;
  }
  if (!opened_writable_ || !room_.health.writable()) return std::unexpected(room_.health.error());
  const std::uint64_t keepable = keepable_locked();
  if (size > keepable && Geometry(size).span_bytes() * kSpansToKeep > keepable) {
    (keepable < budget_bytes_ ? floor_limit_ : budget_limit_).Increment();
    return fail(Errc::kNoSpace, fmt::format("a blob of {} bytes cannot be kept: there is room for {}", size, keepable));
  }
  auto blob = std::make_shared<BlobFile>(room_, digest, size, next_generation_++, false);
  blob->account.listed = true;
  blob->account.counted_use_s = now_s();
  blobs_.emplace(digest, blob);
  queue_.insert(digest, 0);
  use_locked(*blob);
  if (room_.writer) room_.writer->blob_changed(digest, blob);
  return blob;
}

std::uint64_t StoreImpl::now_s() const {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(room_.clock.wall().time_since_epoch()).count());
}

void StoreImpl::use_locked(BlobFile& blob) {
  blob.account.last_used_s = now_s();
  blob.row_last_used_s = blob.account.last_used_s;
  // A pull looks its blob up many times: that is one use, and the first one is what brought the blob here.
  if (blob.account.last_used_s < blob.account.counted_use_s + kOneUse_s) return;
  blob.account.counted_use_s = blob.account.last_used_s;
  queue_.hit(blob.digest());
}

void StoreImpl::purge(const Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = blobs_.find(digest); found != blobs_.end()) forget_locked(std::shared_ptr(found->second));
  }
  small_.erase(digest, room_.writer.get());
}

void StoreImpl::pin(const Digest& digest, bool pinned) {
  const std::lock_guard lock(mutex_);
  const auto found = blobs_.find(digest);
  if (found == blobs_.end()) return;
  BlobFile& blob = *found->second;
  if (blob.account.pinned == pinned) return;
  blob.account.pinned = pinned;
  blob.row_pinned = pinned;
  if (pinned) {
    pinned_bytes_ += blob.account.stored_bytes;
    queue_.erase(digest);
  } else {
    pinned_bytes_ -= blob.account.stored_bytes;
    queue_.insert(digest, blob.account.stored_bytes, true);
  }
  if (room_.writer) room_.writer->blob_changed(digest, found->second);
}

std::vector<BlobListing> StoreImpl::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<BlobListing> out;
  out.reserve(blobs_.size());
  for (const auto& [digest, blob] : blobs_) {
    out.push_back({.digest = digest,
                   .size = blob->geometry().blob_bytes(),
                   .stored_bytes = blob->account.stored_bytes,
                   .state = blob->state(),
                   .pinned = blob->account.pinned});
  }
  return out;
}

Usage StoreImpl::usage() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t stripes = 0;
  for (const auto& [digest, blob] : blobs_) stripes += blob->stripes_present();
  return {.stored_bytes = stored_bytes_,
          .pinned_bytes = pinned_bytes_,
          .budget_bytes = budget_bytes_,
          .free_bytes = free_bytes_,
          .floor_bytes = floor_bytes_,
          .blobs = blobs_.size(),
          .stripes = stripes,
          .writable = opened_writable_ && room_.health.writable()};
}

std::uint64_t StoreImpl::budget_bytes() const {
  const std::lock_guard lock(mutex_);
  return budget_bytes_;
}

std::unique_ptr<Subscription> StoreImpl::on_arena_space(std::function<void()> wake) {
  return room_.arena.waiters().add(std::move(wake));
}

void StoreImpl::read_small(const Digest& digest, std::move_only_function<void(std::shared_ptr<const SmallBody>)> done) {
  if (room_.pool_closed.load()) return done(nullptr);
  room_.submit([this, digest, done = std::move(done)]() mutable {
    done(small_.load(digest, room_.index.get(), room_.writer.get(), room_.verify_failures));
  });
}

Result<> StoreImpl::put_small(const Digest& digest, SmallBody body) {
  const std::uint64_t limit = body.media_type.empty() ? kSmallBytes : kManifestBytes;
  if (body.bytes.size() > limit || body.media_type.size() > 0xffff) {
    return fail(Errc::kLimit, fmt::format("a small body of {} bytes is above {}", body.bytes.size(), limit));
  }
  if (room_.closed.load()) return fail(Errc::kCancelled, "storage is closed");
  small_.put(digest, std::move(body), room_.writer.get());
  return {};
}

void StoreImpl::table_put(Table table, std::string key, std::string value) {
  if (room_.writer && !room_.closed.load()) room_.writer->put(Family::kTables, table_key(table, key), std::move(value));
}

void StoreImpl::table_erase(Table table, std::string key) {
  if (room_.writer && !room_.closed.load()) room_.writer->erase(Family::kTables, table_key(table, key));
}

void StoreImpl::table_get(Table table, std::string key,
                          std::move_only_function<void(std::optional<std::string>)> done) {
  if (room_.pool_closed.load()) return done(std::nullopt);
  room_.submit([this, key = table_key(table, key), done = std::move(done)]() mutable {
    if (!room_.index) return done(std::nullopt);
    auto value = room_.writer ? room_.writer->get(Family::kTables, key) : room_.index->get(Family::kTables, key);
    if (!value) log::error("index row cannot be read", {log::Field(value.error())});
    done(value ? std::move(*value) : std::nullopt);
  });
}

void StoreImpl::table_scan(Table table, std::string_view prefix,
                           const std::function<bool(std::string_view, std::string_view)>& row) {
  if (!room_.index || room_.closed.load()) return;
  if (room_.writer) {
    if (auto flushed = room_.writer->flush(); !flushed) room_.health.write_failed(flushed.error());
  }
  const auto scanned =
      room_.index->scan(Family::kTables, table_key(table, prefix),
                        [&](std::string_view key, std::string_view value) { return row(key.substr(1), value); });
  if (!scanned) log::error("index table cannot be scanned", {log::Field(scanned.error())});
}

void StoreImpl::set_span_rank(SpanRank rank) {
  const std::lock_guard lock(mutex_);
  span_rank_ = std::move(rank);
  spans_to_go_.clear();
}

std::vector<std::shared_ptr<BlobFile>> StoreImpl::all_blobs() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<BlobFile>> out;
  out.reserve(blobs_.size());
  for (const auto& [digest, blob] : blobs_) out.push_back(blob);
  return out;
}

}  // namespace oxbow::storage

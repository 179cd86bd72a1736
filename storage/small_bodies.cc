#include "storage/small_bodies.h"

#include "core/log.h"

namespace oxbow::storage {

void SmallBodies::restore(const Digest& digest, const SmallInfo& info) {
  const std::lock_guard lock(mutex_);
  if (!kept_.contains(digest)) kept_.insert(digest, info.bytes);
}

std::shared_ptr<const SmallBody> SmallBodies::find(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  const auto found = cache_.find(digest);
  if (found == cache_.end()) return nullptr;
  kept_.hit(digest);
  recent_.splice(recent_.begin(), recent_, found->second.at);
  return found->second.body;
}

void SmallBodies::put(const Digest& digest, SmallBody body, IndexWriter* writer) {
  auto shared = std::make_shared<const SmallBody>(std::move(body));
  const std::uint64_t bytes = bytes_of(*shared);
  const std::lock_guard lock(mutex_);
  const bool in_main = kept_.in_main(digest);
  kept_.erase(digest);
  make_room_locked(bytes, writer);
  kept_.insert(digest, bytes, in_main);
  if (writer != nullptr) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
    writer->put(Family::kSmall, digest_key(digest), encode(*shared));
    writer->put(Family::kSmallInfo, digest_key(digest),
                encode(SmallInfo{.bytes = static_cast<std::uint32_t>(bytes),
                                 .last_used_s = static_cast<std::uint64_t>(seconds)}));
  }
  cache_locked(digest, std::move(shared));
}

void SmallBodies::make_room_locked(std::uint64_t bytes, IndexWriter* writer) {
  while (kept_.size() > 0 && (kept_.bytes() + bytes > limits_.index_bytes || kept_.size() >= limits_.count)) {
    const auto victim = kept_.victim([](const Digest&) { return true; });
    if (!victim) return;
    limit_hits_.Increment();
    if (!kept_.in_main(*victim)) kept_.remember(*victim);
    kept_.erase(*victim);
    uncache_locked(*victim);
    erase_rows(*victim, writer);
  }
}

void SmallBodies::erase(const Digest& digest, IndexWriter* writer) {
  const std::lock_guard lock(mutex_);
  if (!kept_.contains(digest)) return;
  kept_.erase(digest);
  uncache_locked(digest);
  erase_rows(digest, writer);
}

void SmallBodies::erase_rows(const Digest& digest, IndexWriter* writer) {
  if (writer == nullptr) return;
  writer->erase(Family::kSmall, digest_key(digest));
  writer->erase(Family::kSmallInfo, digest_key(digest));
}

void SmallBodies::clear() {
  const std::lock_guard lock(mutex_);
  kept_ = {};
  cache_.clear();
  recent_.clear();
  cache_bytes_ = 0;
}

bool SmallBodies::recorded(const Digest& digest) const {
  const std::lock_guard lock(mutex_);
  return kept_.contains(digest);
}

std::shared_ptr<const SmallBody> SmallBodies::load(const Digest& digest, Index* index, IndexWriter* writer,
                                                   Counter& verify_failures) {
  if (auto body = find(digest)) return body;
  if (!recorded(digest) || index == nullptr) return nullptr;
  const std::string key = digest_key(digest);
  const auto row = writer != nullptr ? writer->get(Family::kSmall, key) : index->get(Family::kSmall, key);
  if (row && row->has_value()) {
    // Checked above, which the linter does not see through the Result.
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access)
    if (auto body = decode_small(row->value())) {
      auto shared = std::make_shared<const SmallBody>(std::move(*body));
      const std::lock_guard lock(mutex_);
      if (!kept_.contains(digest)) return nullptr;
      kept_.hit(digest);
      cache_locked(digest, shared);
      return shared;
    }
  }
  // Not readable, or wrong: it is fetched again.
  if (!row || row->has_value()) {
    verify_failures.Increment();
    log::error("small body in the index is corrupt; dropped", {{"digest", digest.to_string()}});
  }
  erase(digest, writer);
  return nullptr;
}

void SmallBodies::cache_locked(const Digest& digest, std::shared_ptr<const SmallBody> body) {
  uncache_locked(digest);
  cache_bytes_ += bytes_of(*body);
  recent_.push_front(digest);
  cache_.emplace(digest, Cached{.body = std::move(body), .at = recent_.begin()});
  // At least the newest stays, whatever its size: it may not be in the index yet.
  while (cache_bytes_ > limits_.memory_bytes && recent_.size() > 1) uncache_locked(Digest(recent_.back()));
}

void SmallBodies::uncache_locked(const Digest& digest) {
  const auto found = cache_.find(digest);
  if (found == cache_.end()) return;
  cache_bytes_ -= bytes_of(*found->second.body);
  recent_.erase(found->second.at);
  cache_.erase(found);
}

}  // namespace oxbow::storage

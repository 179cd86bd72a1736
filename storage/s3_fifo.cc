#include "storage/s3_fifo.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"

namespace oxbow::storage {
namespace {

constexpr std::uint64_t kSmallPercent = 10;
constexpr std::size_t kGhostsMin = 64;
constexpr std::size_t kGhostsMax = 65'536;

}  // namespace

void S3Fifo::insert(const Digest& key, std::uint64_t bytes, bool in_main) {
  OXBOW_INVARIANT(!entries_.contains(key));
  if (const auto ghost = ghost_index_.find(key); ghost != ghost_index_.end()) {
    ghosts_.erase(ghost->second);
    ghost_index_.erase(ghost);
    in_main = true;
  }
  Queue& queue = in_main ? main_ : small_;
  queue.list.push_front({.key = key, .bytes = bytes, .in_main = in_main, .hit = false});
  queue.bytes += bytes;
  entries_.emplace(key, queue.list.begin());
}

void S3Fifo::erase(const Digest& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Queue& queue = found->second->in_main ? main_ : small_;
  queue.bytes -= found->second->bytes;
  queue.list.erase(found->second);
  entries_.erase(found);
}

void S3Fifo::hit(const Digest& key) {
  if (const auto found = entries_.find(key); found != entries_.end()) found->second->hit = true;
}

void S3Fifo::resize(const Digest& key, std::int64_t delta) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  found->second->bytes += static_cast<std::uint64_t>(delta);
  (found->second->in_main ? main_ : small_).bytes += static_cast<std::uint64_t>(delta);
}

S3Fifo S3Fifo::copy() const {
  S3Fifo out;
  for (const auto& [from, to] : {std::pair{&small_, &out.small_}, std::pair{&main_, &out.main_}}) {
    *to = *from;
    for (auto entry = to->list.begin(); entry != to->list.end(); ++entry) out.entries_.emplace(entry->key, entry);
  }
  return out;
}

bool S3Fifo::in_main(const Digest& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second->in_main;
}

std::optional<Digest> S3Fifo::victim(const std::function<bool(const Digest&)>& may_evict) {
  if (small_.bytes * 100 >= bytes() * kSmallPercent) {
    if (auto key = victim_of_small(may_evict)) return key;
    return victim_of_main(may_evict);
  }
  if (auto key = victim_of_main(may_evict)) return key;
  return victim_of_small(may_evict);
}

// Each entry is looked at once: those that were used move to the main queue, those that may not go move to the front.
std::optional<Digest> S3Fifo::victim_of_small(const std::function<bool(const Digest&)>& may_evict) {
  for (std::size_t left = small_.list.size(); left > 0; --left) {
    const auto entry = std::prev(small_.list.end());
    if (entry->hit) {
      entry->hit = false;
      move_to_front(small_, main_, entry);
    } else if (may_evict(entry->key)) {
      return entry->key;
    } else {
      move_to_front(small_, small_, entry);
    }
  }
  return std::nullopt;
}

// Twice around: the first round may only clear the bits.
std::optional<Digest> S3Fifo::victim_of_main(const std::function<bool(const Digest&)>& may_evict) {
  for (std::size_t left = 2 * main_.list.size(); left > 0; --left) {
    const auto entry = std::prev(main_.list.end());
    if (!entry->hit && may_evict(entry->key)) return entry->key;
    entry->hit = false;
    move_to_front(main_, main_, entry);
  }
  return std::nullopt;
}

void S3Fifo::move_to_front(Queue& from, Queue& to, List::iterator entry) {
  from.bytes -= entry->bytes;
  to.bytes += entry->bytes;
  entry->in_main = &to == &main_;
  to.list.splice(to.list.begin(), from.list, entry);
}

void S3Fifo::remember(const Digest& key) {
  if (ghost_index_.contains(key)) return;
  ghosts_.push_front(key);
  ghost_index_.emplace(key, ghosts_.begin());
  const std::size_t limit = std::clamp(entries_.size(), kGhostsMin, kGhostsMax);
  while (ghosts_.size() > limit) {
    ghost_index_.erase(ghosts_.back());
    ghosts_.pop_back();
  }
}

}  // namespace oxbow::storage

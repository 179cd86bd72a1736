// What would be evicted next, tried on a copy of the queue.
#include <algorithm>

#include "storage/store_impl.h"

namespace oxbow::storage {
namespace {

/// What may go of a blob that is kept by span, in the order of its going.
struct Giant {
  struct Span {
    double rank = 0;
    std::uint32_t span = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Span> spans;
  std::size_t next = 0;

  bool empty() const { return next == spans.size(); }
};

}  // namespace

// As evict_one_locked does it when nobody in particular wants the room.
std::vector<Eviction> StoreImpl::evictions(std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::unordered_map<Digest, Giant, Digest::Hash> giants;
  for (const auto& [digest, blob] : blobs_) {
    if (!is_giant(*blob) || blob->account.pinned) continue;
    auto& giant = giants[digest];
    for (const auto span : blob->evictable_spans()) {
      const double rank = span_rank_ ? span_rank_(digest, span) : 0;
      giant.spans.push_back({.rank = rank, .span = span, .bytes = blob->span_bytes_present(span)});
    }
    if (span_rank_)
      std::ranges::sort(giant.spans, {}, [](const Giant::Span& one) { return std::pair(one.rank, one.span); });
  }
  /// Of all giants the one whose next span ranks lowest.
  const auto loser_for = [&](const Digest& victim) {
    auto loser = victim;
    if (!span_rank_) return loser;
    for (const auto& [digest, giant] : giants) {
      if (giant.empty() || !may_lose_span_locked(*blobs_.at(digest), *blobs_.at(victim), nullptr)) continue;
      const auto& best = giants.at(loser);
      if (giant.spans[giant.next].rank < best.spans[best.next].rank) loser = digest;
    }
    return loser;
  };
  S3Fifo queue = queue_.copy();
  std::vector<Eviction> out;
  std::unordered_map<Digest, std::size_t, Digest::Hash> named;
  while (true) {
    const auto victim =
        victim_locked(queue, nullptr, [&](const BlobFile& blob) { return !giants.at(blob.digest()).empty(); });
    if (!victim) return out;
    const bool by_span = giants.contains(*victim);
    const auto key = by_span ? loser_for(*victim) : *victim;
    std::uint64_t bytes = 0;
    if (by_span) {
      auto& giant = giants.at(key);
      bytes = giant.spans[giant.next++].bytes;
      queue.resize(key, -static_cast<std::int64_t>(bytes));
    } else {
      bytes = blobs_.at(key)->account.stored_bytes;
      queue.erase(key);
    }
    if (const auto found = named.find(key); found != named.end()) {
      out[found->second].bytes += bytes;
      continue;
    }
    if (out.size() == limit) return out;
    named.emplace(key, out.size());
    out.push_back({key, bytes});
  }
}

}  // namespace oxbow::storage

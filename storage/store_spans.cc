// Which span goes when a giant's turn has come. All giants are one pool: each node keeps of each of them what it should
// keep according to the ring, so that together the nodes keep all. A model in many files would else leave file by file,
// in the same order on every node (docs/decisions/0011-large-blobs.md).
#include <algorithm>

#include "core/large_blob.h"
#include "storage/store_impl.h"

namespace oxbow::storage {
namespace {

/// A rank costs up to 0.6 us (10,000 peers), and others wait for the lock: of more spans only a sample is ranked.
constexpr std::size_t kRankedAtOnce = 4'096;
/// The lowest of those that were ranked go, then all are looked at anew; also after this time, for members come and go.
constexpr std::size_t kGoOfRanked = 4;
constexpr std::chrono::seconds kRanksHold{60};

}  // namespace

bool StoreImpl::is_giant(const BlobFile& blob) const {
  return leaves_by_span(blob.geometry().blob_bytes(), budget_bytes_);
}

bool StoreImpl::may_lose_span_locked(const BlobFile& blob, const BlobFile& victim, const BlobFile* wanting) const {
  if (!blob.account.listed || blob.account.pinned || blob.account.stored_bytes == 0 || !is_giant(blob)) return false;
  return &blob == &victim || (&blob != wanting && !blob.waited_for());
}

void StoreImpl::rank_spans_locked(const BlobFile& victim, const BlobFile* wanting) {
  spans_to_go_.clear();
  spans_ranked_at_ = room_.clock.steady();
  std::vector<std::pair<const std::shared_ptr<BlobFile>*, std::uint32_t>> all;
  for (const auto& [digest, blob] : blobs_) {
    if (!may_lose_span_locked(*blob, victim, wanting)) continue;
    for (const auto span : blob->evictable_spans()) all.emplace_back(&blob, span);
  }
  const auto step = all.size() / kRankedAtOnce + 1;
  for (auto place = ranked_from_++ % step; place < all.size(); place += step) {
    const auto& [blob, span] = all[place];
    spans_to_go_.push_back({.rank = span_rank_((*blob)->digest(), span), .blob = *blob, .span = span});
  }
  std::ranges::sort(spans_to_go_, std::greater(), [](const RankedSpan& one) { return std::pair(one.rank, one.span); });
  const auto staying = spans_to_go_.size() - (spans_to_go_.size() + kGoOfRanked - 1) / kGoOfRanked;
  spans_to_go_.erase(spans_to_go_.begin(), spans_to_go_.begin() + static_cast<std::ptrdiff_t>(staying));
}

StoreImpl::Gone StoreImpl::evict_span_for_locked(const std::shared_ptr<BlobFile>& victim, const BlobFile* wanting) {
  if (!span_rank_) {
    for (const auto span : victim->evictable_spans()) {
      if (const auto bytes = evict_span_locked(victim, span); bytes > 0) return {victim, bytes};
    }
    return {};
  }
  if (room_.clock.steady() - spans_ranked_at_ > kRanksHold) spans_to_go_.clear();
  for (int ranked = 0; ranked < 2; ++ranked) {
    while (!spans_to_go_.empty()) {
      const auto one = std::move(spans_to_go_.back());
      spans_to_go_.pop_back();
      const auto blob = one.blob.lock();
      if (!blob || !may_lose_span_locked(*blob, *victim, wanting)) continue;
      // Since it was ranked it may have become one of those that a reader is at.
      if (blob->waited_for() && std::ranges::count(blob->evictable_spans(), one.span) == 0) continue;
      if (const auto bytes = evict_span_locked(blob, one.span); bytes > 0) return {blob, bytes};
    }
    if (ranked == 0) rank_spans_locked(*victim, wanting);
  }
  return {};
}

std::uint64_t StoreImpl::evict_span_locked(const std::shared_ptr<BlobFile>& blob, std::uint32_t span) {
  const std::uint64_t bytes = blob->evict_span(span);
  if (bytes == 0) return 0;
  account_locked(*blob, -static_cast<std::int64_t>(bytes));
  since_refresh_bytes_ += static_cast<std::int64_t>(bytes);
  unlinking_bytes_ += bytes;
  room_.submit([this, blob, span, bytes] {
    blob->punch(span);
    freed(bytes);
  });
  return bytes;
}

}  // namespace oxbow::storage

// What would be evicted next, tried on a copy of the queue.
#include "storage/store_impl.h"

namespace oxbow::storage {
namespace {

/// The spans of a blob that is kept by span, as they would go.
struct Giant {
  std::vector<std::uint64_t> span_bytes;  ///< in the order of their going
  std::size_t next = 0;
};

}  // namespace

// As evict_one_locked does it when nobody in particular wants the room.
std::vector<Eviction> StoreImpl::evictions(std::size_t limit) const {
  const std::lock_guard lock(mutex_);
  std::unordered_map<Digest, Giant, Digest::Hash> giants;
  const auto giant_of = [&](const BlobFile& blob) -> Giant& {
    const auto [found, fresh] = giants.try_emplace(blob.digest());
    if (fresh) {
      for (const auto span : ranked_spans_locked(blob))
        found->second.span_bytes.push_back(blob.span_bytes_present(span));
    }
    return found->second;
  };
  S3Fifo queue = queue_.copy();
  std::vector<Eviction> out;
  while (true) {
    const auto key = victim_locked(queue, nullptr, [&](const BlobFile& blob) {
      const auto& giant = giant_of(blob);
      return giant.next < giant.span_bytes.size();
    });
    if (!key) return out;
    const BlobFile& blob = *blobs_.at(*key);
    std::uint64_t bytes = blob.account.stored_bytes;
    if (is_giant(blob)) {
      auto& giant = giant_of(blob);
      bytes = giant.span_bytes[giant.next++];
      queue.resize(*key, -static_cast<std::int64_t>(bytes));
    } else {
      queue.erase(*key);
    }
    if (!out.empty() && out.back().digest == *key) {
      out.back().bytes += bytes;
      continue;
    }
    if (out.size() == limit) return out;
    out.push_back({*key, bytes});
  }
}

}  // namespace oxbow::storage

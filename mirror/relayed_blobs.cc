#include "mirror/relayed_blobs.h"

namespace oxbow::mirror {

bool RelayedBlobs::add(const Digest& digest, std::uint32_t stripes, const Drop& drop) {
  remove(digest);
  const auto weight = stripes + kBlobWeight;
  if (weight > max_weight_) return false;
  for (auto one = by_age_.begin(); one != by_age_.end() && weight_ + weight > max_weight_;) {
    const auto oldest = one++;
    if (oldest->used.use_count() == 1 && drop(oldest->digest)) remove(Digest(oldest->digest));
  }
  if (weight_ + weight > max_weight_) return false;
  by_age_.push_back({digest, weight, std::make_shared<const char>()});
  by_digest_.emplace(digest, std::prev(by_age_.end()));
  weight_ += weight;
  return true;
}

RelayedBlobs::Use RelayedBlobs::use(const Digest& digest) const {
  const auto known = by_digest_.find(digest);
  return known == by_digest_.end() ? nullptr : known->second->used;
}

bool RelayedBlobs::is_idle(const Digest& digest) const {
  const auto known = by_digest_.find(digest);
  return known != by_digest_.end() && known->second->used.use_count() == 1;
}

bool RelayedBlobs::remove(const Digest& digest) {
  const auto known = by_digest_.find(digest);
  if (known == by_digest_.end()) return false;
  weight_ -= known->second->weight;
  by_age_.erase(known->second);
  by_digest_.erase(known);
  return true;
}

}  // namespace oxbow::mirror

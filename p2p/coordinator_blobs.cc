#include "p2p/coordinator_blobs.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kSizesConsidered = 16;  // of one digest: more are nonsense

}  // namespace

BlobMembers* CoordinatorBlobs::find(const Digest& digest, std::uint64_t size) {
  const auto found = by_key_.find({digest, size});
  return found == by_key_.end() ? nullptr : &found->second->blob;
}

template <typename Visit>
void CoordinatorBlobs::each_size(const Digest& digest, Visit visit) {
  auto place = by_key_.lower_bound({digest, 0});
  for (std::size_t i = 0; i < kSizesConsidered && place != by_key_.end() && place->first.digest == digest; ++i, ++place)
    visit(place->second->blob);
}

BlobMembers* CoordinatorBlobs::find_any(const Digest& digest) {
  BlobMembers* largest = nullptr;
  each_size(digest, [&](BlobMembers& blob) {
    if (largest == nullptr || blob.size() > largest->size()) largest = &blob;
  });
  return largest;
}

void CoordinatorBlobs::remove_member(const Digest& digest, PeerId peer) {
  each_size(digest, [peer](BlobMembers& blob) { blob.remove(peer); });
}

BlobMembers& CoordinatorBlobs::heard(const Digest& digest, std::uint64_t size, Time now) {
  const Key key{digest, size};
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    by_age_.splice(by_age_.end(), by_age_, found->second);
    return found->second->blob;
  }
  if (by_key_.size() >= limits_.blobs && !by_age_.empty()) {
    forget(by_age_.begin());
    ++forgotten_.for_blobs;
  }
  by_age_.push_back({key, BlobMembers(spans_, size)});
  const auto entry = std::prev(by_age_.end());
  entry->blob.learned = now;
  by_key_.emplace(key, entry);
  return entry->blob;
}

void CoordinatorBlobs::make_room() {
  if (by_age_.empty()) return;
  recount(by_age_.back());
  while (bytes_ > limits_.bytes && by_age_.size() > 1) {
    forget(by_age_.begin());
    ++forgotten_.for_memory;
  }
}

void CoordinatorBlobs::recount(Entry& entry) {
  bytes_ -= entry.counted;
  entry.counted = entry.blob.bytes();
  bytes_ += entry.counted;
}

CoordinatorBlobs::Entries::iterator CoordinatorBlobs::forget(Entries::iterator entry) {
  bytes_ -= entry->counted;
  by_key_.erase(entry->key);
  return by_age_.erase(entry);
}

}  // namespace oxbow::p2p

#include "p2p/coordinator_blobs.h"

#include <algorithm>

namespace oxbow::p2p {
namespace {

constexpr std::size_t kSizesConsidered = 16;  // of one digest: more are nonsense
constexpr std::size_t kOwnShare = 4;          // the part of each limit that what one member introduced may fill

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

BlobMembers& CoordinatorBlobs::heard(const Digest& digest, std::uint64_t size, PeerId from, Time now) {
  const Key key{digest, size};
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    by_age_.splice(by_age_.end(), by_age_, found->second);
    return found->second->blob;
  }
  if (by_key_.size() >= limits_.blobs && !by_age_.empty()) {
    forget(to_forget(from, by_age_.end()));
    ++forgotten_.for_blobs;
  }
  by_age_.push_back({key, BlobMembers(spans_, size), from});
  ++introduced_[from].blobs;
  const auto entry = std::prev(by_age_.end());
  entry->blob.learned = now;
  by_key_.emplace(key, entry);
  return entry->blob;
}

void CoordinatorBlobs::make_room() {
  if (by_age_.empty()) return;
  recount(by_age_.back());
  while (bytes_ > limits_.bytes && by_age_.size() > 1) {
    forget(to_forget(by_age_.back().introduced_by, std::prev(by_age_.end())));
    ++forgotten_.for_memory;
  }
}

/// The one longest unheard of; of its own for a member that has introduced more than its share: it makes nobody forget
/// what others told.
CoordinatorBlobs::Entries::iterator CoordinatorBlobs::to_forget(PeerId introducer, Entries::iterator end) {
  const auto own = introduced_.find(introducer);
  if (own == introduced_.end()) return by_age_.begin();
  const auto& [blobs, bytes] = own->second;
  if (blobs <= limits_.blobs / kOwnShare && bytes <= limits_.bytes / kOwnShare) return by_age_.begin();
  const auto oldest = std::ranges::find(by_age_.begin(), end, introducer, &Entry::introduced_by);
  return oldest == end ? by_age_.begin() : oldest;
}

void CoordinatorBlobs::recount(Entry& entry) {
  auto& own = introduced_[entry.introduced_by].bytes;
  bytes_ -= entry.counted;
  own -= entry.counted;
  entry.counted = entry.blob.bytes();
  bytes_ += entry.counted;
  own += entry.counted;
}

CoordinatorBlobs::Entries::iterator CoordinatorBlobs::forget(Entries::iterator entry) {
  bytes_ -= entry->counted;
  const auto own = introduced_.find(entry->introduced_by);
  own->second.bytes -= entry->counted;
  if (--own->second.blobs == 0) introduced_.erase(own);
  by_key_.erase(entry->key);
  return by_age_.erase(entry);
}

}  // namespace oxbow::p2p

#include "mirror/admin/ring_shares.h"

#include <algorithm>

namespace oxbow::mirror {
namespace {

constexpr std::size_t kLeastKeys = 65'536;
constexpr std::size_t kMostKeys = 1'048'576;
constexpr std::size_t kKeysPerMember = 256;
/// 2^64 divided by the golden ratio: multiples of it are spread evenly, however many are taken.
constexpr std::uint64_t kStep = 0x9e37'79b9'7f4a'7c15;

std::vector<double> count(const p2p::Ring& ring) {
  std::vector<double> shares(ring.size());
  if (shares.empty()) return shares;
  const auto keys = std::clamp(ring.size() * kKeysPerMember, kLeastKeys, kMostKeys);
  for (std::size_t i = 0; i < keys; ++i) shares[ring.owner(i * kStep)] += 1.0 / static_cast<double>(keys);
  return shares;
}

}  // namespace

std::shared_ptr<const std::vector<double>> RingShares::of(const std::shared_ptr<const p2p::PeerSnapshot>& peers) {
  const std::lock_guard lock(mutex_);
  // Snapshots of the same members share their ring; the one that is kept keeps its address taken.
  if (known_ && &known_->ring() == &peers->ring()) return shares_;
  shares_ = std::make_shared<const std::vector<double>>(count(peers->ring()));
  known_ = peers;
  return shares_;
}

}  // namespace oxbow::mirror

#include "p2p/stripe_receivers.h"

#include <algorithm>

namespace oxbow::p2p {

void StripeReceivers::add(std::uint64_t what, PeerId receiver) {
  const std::lock_guard lock(mutex_);
  const auto [place, fresh] = stripes_.try_emplace(what);
  if (fresh) {
    by_age_.push_back(what);
    if (by_age_.size() > kStripes) {
      stripes_.erase(by_age_.front());
      by_age_.pop_front();
    }
  }
  auto& entry = place->second;
  if (std::ranges::find(entry.peers, receiver) != entry.peers.end()) return;
  entry.peers[entry.count++ % kEach] = receiver;
}

std::vector<PeerId> StripeReceivers::of(std::uint64_t what) const {
  const std::lock_guard lock(mutex_);
  std::vector<PeerId> found;
  const auto place = stripes_.find(what);
  if (place == stripes_.end()) return found;
  const auto& entry = place->second;
  const auto known = std::min<std::uint32_t>(entry.count, kEach);
  for (std::uint32_t back = 1; back <= known; ++back) found.push_back(entry.peers[(entry.count - back) % kEach]);
  return found;
}

}  // namespace oxbow::p2p

#include "p2p/finger_owner.h"

#include <algorithm>

namespace oxbow::p2p {

FingerOwner::Turn FingerOwner::ask(Time now, const Digest& digest, std::uint32_t stripe, PeerId client,
                                   std::uint32_t wants) {
  const std::lock_guard lock(mutex_);
  const auto known = given_.find({digest, stripe});
  if (known != given_.end() && known->second.holder != client) return {Turn::Kind::kHolder, known->second.holder};
  if (client == kNoPeer || wants == 0 || barred(now, client)) return {};
  const auto span_end = (Geometry::span_of(stripe) + 1) * kStripesPerSpan;
  const auto end = std::min(span_end, stripe + std::min(wants, kStripesPerSpan));
  for (auto one = stripe; one < end; ++one) {
    const auto other = given_.find({digest, one});
    const auto until = now + options_.lease + (one - stripe) * options_.next;
    if (other == given_.end())
      give({digest, one}, client, until);
    else if (other->second.holder == client)
      other->second.until = until;
    else
      break;
  }
  return {Turn::Kind::kFetch, client};
}

void FingerOwner::give(const Key& key, PeerId client, Time until) {
  given_.emplace(key, Given{client, until});
  order_.push_back(key);
  bool hit = false;
  // Keys that were forgotten stay in the order until it is their turn.
  while (order_.size() > options_.stripes) {
    hit = given_.erase(order_.front()) > 0 || hit;
    order_.pop_front();
  }
  if (hit && limit_hits_ != nullptr) limit_hits_->Increment();
}

void FingerOwner::given(Time now, const Digest& digest, std::uint32_t stripe, PeerId holder) {
  const std::lock_guard lock(mutex_);
  const auto span_end = (Geometry::span_of(stripe) + 1) * kStripesPerSpan;
  for (auto one = stripe; one < span_end; ++one) {
    const auto known = given_.find({digest, one});
    if (known == given_.end() || known->second.holder != holder) return;
    known->second.until = std::max(known->second.until, now + options_.lease + (one - stripe) * options_.next);
  }
}

bool FingerOwner::not_given(Time now, const Digest& digest, std::uint32_t stripe, PeerId holder, Errc why, bool late) {
  const std::lock_guard lock(mutex_);
  const auto known = given_.find({digest, stripe});
  if (known == given_.end() || known->second.holder != holder) return true;
  if ((why == Errc::kNotFound || late) && now < known->second.until) return false;
  given_.erase(known);
  if (why == Errc::kTimeout && !barred(now, holder)) barred_.emplace_back(holder, now + options_.barred);
  const auto span_end = (Geometry::span_of(stripe) + 1) * kStripesPerSpan;
  for (auto one = stripe + 1; why != Errc::kNotFound && one < span_end; ++one) {
    const auto next = given_.find({digest, one});
    if (next == given_.end() || next->second.holder != holder) break;
    given_.erase(next);
  }
  return true;
}

bool FingerOwner::barred(Time now, PeerId client) {
  std::erase_if(barred_, [now](const auto& one) { return one.second <= now; });
  return std::ranges::any_of(barred_, [client](const auto& one) { return one.first == client; });
}

std::size_t FingerOwner::stripes() const {
  const std::lock_guard lock(mutex_);
  return given_.size();
}

}  // namespace oxbow::p2p

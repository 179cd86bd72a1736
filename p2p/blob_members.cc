#include "p2p/blob_members.h"

#include <algorithm>
#include <bit>

namespace oxbow::p2p {
namespace {

constexpr std::size_t kRestsKept = 64;  // leases that ended early: the oldest go first
constexpr std::size_t kHeapBytes = 16;  // of an allocation, besides what it holds

std::size_t bytes_of(const HaveMap& have) { return have.words().size_bytes(); }

}  // namespace

BlobMembers::BlobMembers(LeaseSpans spans, std::uint64_t bytes)
    : blob_bytes(bytes), lease_spans_(spans), stripes_(Geometry(bytes).stripes()) {}

BlobMember* BlobMembers::find(PeerId id) {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

const BlobMember* BlobMembers::find(PeerId id) const {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

BlobMember& BlobMembers::add(PeerId id, Time now) {
  auto& member = members_[id];
  member.interest = Interest::kLeft;
  member.heard = now;
  member.place = static_cast<std::uint32_t>(order_.size());
  order_.push_back(id);
  return member;
}

void BlobMembers::remove(PeerId id) {
  const auto found = members_.find(id);
  if (found == members_.end()) return;
  count(found->second, -1);
  have_bytes_ -= bytes_of(found->second.have);
  const auto place = found->second.place;
  order_[place] = order_.back();
  order_.pop_back();
  if (place < order_.size()) members_[order_[place]].place = place;
  members_.erase(found);
  end_leases_of(id);
}

void BlobMembers::count_stripes(const HaveMap& have, std::int32_t sign) {
  const auto words = have.words();
  if (!words.empty()) stripe_holders_.resize(stripes_);
  for (std::uint32_t word = 0; word < words.size(); ++word) {
    for (auto bits = words[word]; bits != 0; bits &= bits - 1) {
      auto& holders = stripe_holders_[word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits))];
      holders = static_cast<std::uint32_t>(static_cast<std::int32_t>(holders) + sign);
    }
  }
}

void BlobMembers::count(const BlobMember& member, std::int32_t sign) {
  if (!member.counts()) return;
  const auto step = static_cast<std::uint32_t>(sign);
  if (member.interest == Interest::kWanting) {
    wanters_ += step;
    if (member.may_fetch) fetchers_ += step;
  }
  if (member.complete)
    complete_ += step;
  else
    count_stripes(member.have, sign);
}

void BlobMembers::update(BlobMember& member, const Announce& announce, Time now) {
  if (announce.have == member.have && announce.interest == member.interest && announce.may_fetch == member.may_fetch &&
      !member.suspect && !member.was_absent && !announce.have.complete()) {
    member.heard = now;
    return;
  }
  count(member, -1);
  member.suspect = false;
  member.absent = false;
  member.was_absent = false;
  member.interest = announce.interest;
  member.may_fetch = announce.may_fetch;
  member.heard = now;
  // A map of another size than it says; it says nothing here.
  const bool fits = announce.have.size() == stripes_;
  member.complete = fits && announce.have.complete();
  have_bytes_ -= bytes_of(member.have);
  // Nothing takes no memory, however large the blob is said to be.
  member.have = fits && !member.complete && announce.have.count() > 0 ? announce.have : HaveMap();
  have_bytes_ += bytes_of(member.have);
  count(member, +1);
}

void BlobMembers::withdraw(PeerId id) {
  auto* member = find(id);
  if (member == nullptr || (!member->complete && member->have.size() == 0)) return;
  count(*member, -1);
  have_bytes_ -= bytes_of(member->have);
  member->complete = false;
  member->have = HaveMap();
  count(*member, +1);
}

std::size_t BlobMembers::bytes() const noexcept {
  std::size_t midstate_bytes = 0;
  if (midstates && !midstates->states.empty())
    midstate_bytes = midstates->states.size() * (sizeof(std::string) + kHeapBytes + midstates->states.front().size());
  return stripe_holders_.size() * sizeof(stripe_holders_[0]) + have_bytes_ + midstate_bytes;
}

void BlobMembers::suspect(PeerId id) {
  auto* member = find(id);
  if (member == nullptr || member->suspect) return;
  count(*member, -1);
  member->suspect = true;
  end_leases_of(id);
}

void BlobMembers::set_absent(PeerId id, bool absent) {
  auto* member = find(id);
  if (member == nullptr || member->absent == absent) return;
  count(*member, -1);
  member->absent = absent;
  member->was_absent = true;
  count(*member, +1);
  if (absent) end_leases_of(id);
}

bool BlobMembers::is_another(PeerId id, std::uint64_t incarnation) const {
  const auto* member = find(id);
  return member != nullptr && member->was_absent && member->incarnation != 0 && incarnation != 0 &&
         member->incarnation != incarnation;
}

void BlobMembers::drop_one(Random& random) {
  if (order_.empty()) return;
  // A few draws find a holder where there are many; where there are few it does not matter who goes.
  PeerId victim = kNoPeer;
  for (int draw = 0; draw < 8; ++draw) {
    victim = order_[random.below(static_cast<std::uint32_t>(order_.size()))];
    if (members_[victim].interest != Interest::kWanting) break;
    if (draw >= 4 && leases_of(victim) == 0) break;
  }
  remove(victim);
}

bool BlobMembers::held(std::uint32_t span, PeerId asker, std::span<const PeerId> without) const noexcept {
  const auto member_of = [this](PeerId id) -> const BlobMember* {
    const auto found = members_.find(id);
    if (found == members_.end() || !found->second.counts()) return nullptr;
    return &found->second;
  };
  const auto* own = member_of(asker);
  const auto end = lease_spans_.end(span, stripes_);
  for (auto stripe = lease_spans_.begin(span); stripe < end; ++stripe) {
    if (own != nullptr && (own->complete || own->have.has(stripe))) continue;
    std::uint32_t holders = complete_ + (stripe_holders_.empty() ? 0 : stripe_holders_[stripe]);
    for (const auto id : without) {
      const auto* member = member_of(id);
      if (member != nullptr && holders > 0 && (member->complete || member->have.has(stripe))) --holders;
    }
    if (holders == 0) return false;
  }
  return true;
}

bool BlobMembers::holds(const BlobMember& member, std::uint32_t span) const noexcept {
  if (!member.counts()) return false;
  return member.complete || (member.have.size() == stripes_ && lease_spans_.all_in(member.have, span));
}

std::uint64_t BlobMembers::bytes_held(const BlobMember& member, std::uint32_t span) const noexcept {
  if (member.complete) return span_bytes(span);
  if (member.have.size() != stripes_) return 0;
  const Geometry geometry(blob_bytes);
  std::uint64_t bytes = 0;
  const auto end = lease_spans_.end(span, stripes_);
  for (auto stripe = lease_spans_.begin(span); stripe < end; ++stripe) {
    if (member.have.has(stripe)) bytes += geometry.stripe(stripe).size();
  }
  return bytes;
}

bool BlobMembers::is_rare(std::uint32_t span) const noexcept {
  if (complete_ > 0 || stripe_holders_.empty()) return false;
  const auto begin = lease_spans_.begin(span);
  const auto end = lease_spans_.end(span, stripes_);
  std::uint32_t alone = 0;
  for (auto stripe = begin; stripe < end; ++stripe) alone += stripe_holders_[stripe] == 1 ? 1 : 0;
  return 2 * alone > end - begin;
}

BlobMember* BlobMembers::keeps_alone(std::uint32_t span) {
  if (!is_rare(span)) return nullptr;
  for (auto& [id, member] : members_) {
    if (holds(member, span)) return &member;
  }
  return nullptr;
}

BlobLease* BlobMembers::lease_of(std::uint32_t span) {
  const auto found = std::ranges::find(leases, span, &BlobLease::span);
  return found == leases.end() ? nullptr : &*found;
}

std::uint32_t BlobMembers::leases_of(PeerId holder) const noexcept {
  return static_cast<std::uint32_t>(std::ranges::count(leases, holder, &BlobLease::holder));
}

void BlobMembers::end_lease(std::uint32_t span) {
  std::erase_if(leases, [span](const BlobLease& lease) { return lease.span == span; });
}

void BlobMembers::part_lease(const BlobLease& lease) {
  if (lease.bytes == 0) return;
  std::erase_if(rests, [&](const BlobRest& rest) { return rest.span == lease.span; });
  if (rests.size() >= kRestsKept) rests.erase(rests.begin());
  rests.push_back({lease.span, lease.holder});
}

PeerId BlobMembers::take_rest(std::uint32_t span) {
  const auto found = std::ranges::find(rests, span, &BlobRest::span);
  if (found == rests.end()) return kNoPeer;
  const auto holder = found->holder;
  rests.erase(found);
  return holder;
}

void BlobMembers::end_leases_of(PeerId holder) {
  std::erase_if(leases, [holder](const BlobLease& lease) { return lease.holder == holder; });
}

}  // namespace oxbow::p2p

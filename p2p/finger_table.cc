#include "p2p/finger_table.h"

#include <algorithm>
#include <limits>

namespace oxbow::p2p {
namespace {

/// The key of a slot. `sub` 0 is the level-2 peer itself, 1 and up the level-1 peers under it.
Key key_of_slot(Key key, std::uint32_t slot, std::uint32_t sub) noexcept {
  return Random(key ^ (std::uint64_t{slot + 1} << 32U) ^ sub).next();
}

bool contains(const std::vector<std::uint32_t>& members, std::uint32_t member) noexcept {
  return std::ranges::find(members, member) != members.end();
}

/// This node is nearer to itself than any other.
std::uint32_t tier(const PeerSnapshot& peers, const Peer& peer) noexcept {
  return peers.is_self(peer) ? std::numeric_limits<std::uint32_t>::max() : peers.near(peer);
}

struct Candidate {
  std::uint32_t slot;
  const Peer* peer;
};

std::vector<Candidate> nearest(std::vector<Candidate> all, const FingerTable::Near& near) {
  std::uint32_t best = 0;
  for (const auto& one : all) best = std::max(best, near(*one.peer));
  std::erase_if(all, [&](const auto& one) { return near(*one.peer) < best; });
  return all;
}

}  // namespace

FingerTable::FingerTable(std::shared_ptr<const PeerSnapshot> peers, Key key, std::uint32_t spread)
    : peers_(std::move(peers)),
      key_(key),
      fan_out_(fan_out(peers_->peers().size())),
      owner_(peers_->ring().owner(key)) {
  const auto slots = std::min<std::size_t>(std::size_t{spread} * fan_out_, peers_->peers().size() - 1);
  level2_.reserve(slots);
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const auto found = peers_->ring().walk(
        key_of_slot(key_, slot, 0), 1, [this](std::uint32_t member) { return member != owner_ && !is_level2(member); });
    level2_.push_back(found.front());
  }
}

std::uint32_t FingerTable::fan_out(std::size_t members) noexcept {
  std::uint32_t b = 2;
  while (std::size_t{b} * b * b < members) ++b;
  return b;
}

bool FingerTable::is_level2(std::uint32_t member) const noexcept { return contains(level2_, member); }

std::vector<std::uint32_t> FingerTable::level1(std::uint32_t slot) const {
  std::vector<std::uint32_t> members;
  for (std::uint32_t sub = 1; sub <= fan_out_; ++sub) {
    const auto found = peers_->ring().walk(key_of_slot(key_, slot, sub), 1, [&](std::uint32_t member) {
      return member != owner_ && !is_level2(member) && !contains(members, member);
    });
    if (found.empty()) break;
    members.push_back(found.front());
  }
  return members;
}

const Peer* FingerTable::live_owner(const Live& live) const {
  const auto& all = peers_->peers();
  const auto found = peers_->ring().walk(key_, 1, [&](std::uint32_t member) { return live(all[member]); });
  return found.empty() ? nullptr : &all[found.front()];
}

/// The slot's peer, or the next one of its walk that lives and has no place of its own here.
const Peer* FingerTable::live_at(Key slot, std::uint32_t placed, const Live& live,
                                 const std::vector<std::uint32_t>& taken) const {
  const auto& all = peers_->peers();
  if (live(all[placed])) return &all[placed];
  const auto found = peers_->ring().walk(slot, 1, [&](std::uint32_t member) {
    return member != owner_ && !is_level2(member) && !contains(taken, member) && live(all[member]);
  });
  return found.empty() ? nullptr : &all[found.front()];
}

FingerTable::Route FingerTable::choose(Random& fixed, Random& coins, double jitter, const Live& live) const {
  return choose(fixed, coins, jitter, live, [this](const Peer& peer) { return tier(*peers_, peer); });
}

FingerTable::Route FingerTable::choose(Random& fixed, Random& coins, double jitter, const Live& live,
                                       const Near& near) const {
  Route route;
  std::vector<Candidate> candidates;
  for (std::uint32_t slot = 0; slot < level2_.size(); ++slot) {
    if (const auto* peer = live_at(key_of_slot(key_, slot, 0), level2_[slot], live, {}))
      candidates.push_back({slot, peer});
  }
  if (candidates.empty()) return route;
  candidates = nearest(std::move(candidates), near);
  const auto& chosen = candidates[fixed.below(static_cast<std::uint32_t>(candidates.size()))];
  route.h2 = chosen.peer;

  const auto members = level1(chosen.slot);
  std::vector<Candidate> below;
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    const auto* peer = live_at(key_of_slot(key_, chosen.slot, i + 1), members[i], live, members);
    if (peer != nullptr && peer != route.h2) below.push_back({i, peer});
  }
  if (below.empty()) return route;
  const bool any = coins.uniform() < jitter;
  if (!any) below = nearest(std::move(below), near);
  route.h1 = below[(any ? coins : fixed).below(static_cast<std::uint32_t>(below.size()))].peer;
  return route;
}

}  // namespace oxbow::p2p

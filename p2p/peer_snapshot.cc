#include <algorithm>

#include "p2p/peer_table.h"

namespace oxbow::p2p {

std::string_view to_string(PeerState state) noexcept {
  switch (state) {
    case PeerState::kEligible:
      return "eligible";
    case PeerState::kDraining:
      return "draining";
    case PeerState::kSuspended:
      return "suspended";
    case PeerState::kRevoked:
      return "revoked";
    case PeerState::kSilent:
      return "silent";
    case PeerState::kCircuitOpen:
      return "circuit_open";
    case PeerState::kIncompatible:
      return "incompatible";
  }
  return "unknown";
}

PeerIndex::PeerIndex(std::span<const Peer> peers) {
  std::vector<Member> members;
  members.reserve(peers.size());
  names_.reserve(peers.size());
  by_id_.reserve(peers.size());
  by_name_.reserve(peers.size());
  for (const auto& peer : peers) {
    const auto index = static_cast<std::uint32_t>(members.size());
    auto& member = members.emplace_back();  // a ring needs no more of it
    member.name = peer.member.name;
    member.weight = peer.member.weight;
    names_.push_back(peer.member.name);
    by_id_.emplace(peer.id, index);
    by_name_.emplace(names_.back(), index);
  }
  ring_ = Ring(members);
}

std::optional<std::uint32_t> PeerIndex::find(PeerId id) const noexcept {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<std::uint32_t> PeerIndex::find(std::string_view name) const noexcept {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? std::nullopt : std::optional(it->second);
}

PeerSnapshot::PeerSnapshot()
    : peers_(std::make_shared<std::vector<Peer>>()), index_(std::make_shared<PeerIndex>(std::span<const Peer>())) {}

PeerSnapshot::PeerSnapshot(std::vector<Peer> peers, std::uint64_t revision)
    : PeerSnapshot(std::move(peers), revision, nullptr) {}

PeerSnapshot::PeerSnapshot(std::vector<Peer> peers, std::uint64_t revision, std::shared_ptr<const PeerIndex> index)
    : peers_(std::make_shared<const std::vector<Peer>>(std::move(peers))),
      index_(std::move(index)),
      revision_(revision) {
  if (index_ == nullptr) index_ = std::make_shared<PeerIndex>(*peers_);
  OXBOW_INVARIANT(index_->ring().size() == peers_->size());
  for (const auto& peer : *peers_) {
    if (peer.self) {
      self_ = peer.id;
    } else if (peer.state == PeerState::kEligible) {
      ++eligible_others_;
      if (peer.vetted) ++vetted_others_;
    }
  }
}

PeerSnapshot::PeerSnapshot(const PeerSnapshot& common, PeerId viewer)
    : peers_(common.peers_),
      index_(common.index_),
      revision_(common.revision_),
      self_(viewer),
      eligible_others_(common.eligible_others_),
      vetted_others_(common.vetted_others_) {
  OXBOW_INVARIANT(common.self_ == kNoPeer);
  viewer_ = find(viewer);
  OXBOW_INVARIANT(viewer_ != nullptr);
  if (viewer_->state != PeerState::kEligible) return;
  --eligible_others_;
  if (viewer_->vetted) --vetted_others_;
}

std::uint32_t PeerSnapshot::near(const Peer& peer) const noexcept {
  return viewer_ == nullptr ? peer.near : shared_labels(viewer_->member.location, peer.member.location);
}

const Peer* PeerSnapshot::find(PeerId id) const noexcept {
  const auto index = index_->find(id);
  return index ? &(*peers_)[*index] : nullptr;
}

const Peer* PeerSnapshot::find(std::string_view name) const noexcept {
  const auto index = index_->find(name);
  return index ? &(*peers_)[*index] : nullptr;
}

std::vector<PeerId> PeerSnapshot::ranked(Key key, std::size_t count) const {
  auto found = ring().walk(key, count, [&](std::uint32_t i) { return (*peers_)[i].state == PeerState::kEligible; });
  std::ranges::transform(found, found.begin(), [&](std::uint32_t i) { return (*peers_)[i].id; });
  return found;
}

}  // namespace oxbow::p2p

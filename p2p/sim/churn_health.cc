#include "p2p/sim/churn_health.h"

#include <algorithm>

namespace oxbow::p2p::sim {
namespace {

constexpr Ms kProbeEvery = 5'000;  // of mirror's prober: p2p/prober.h
constexpr Ms kProbesPerRound = 64;
constexpr Ms kProbeTimeout = 2'000;

PeerHealth::Time at(Ms now) { return PeerHealth::Time(std::chrono::milliseconds(now)); }

}  // namespace

ChurnHealth::ChurnHealth(const ChurnWorld& world, std::uint32_t members, bool on)
    : world_(world),
      on_(on),
      cycle_(std::max(kProbeEvery, kProbeEvery * static_cast<Ms>(members) / kProbesPerRound)),
      known_(world.lives().size()) {}

ChurnHealth::Known& ChurnHealth::known(NodeId node, NodeId peer, Ms now) {
  const auto found = known_[node].find(peer);
  if (found != known_[node].end()) {
    work_off(found->second, node, peer, now);
    return found->second;
  }
  // Heard of when both were there; what matters is the last probe that was answered, and those that were not.
  const auto met = std::max(world_.life(node).born, world_.life(peer).born);
  const auto until = std::min({now, world_.life(peer).dies, world_.life(peer).down_from});
  auto& made = known_[node].emplace(peer, Known{PeerHealth(at(met)), std::max(met, until - cycle_)}).first->second;
  work_off(made, node, peer, now);
  return made;
}

void ChurnHealth::work_off(Known& known, NodeId node, NodeId peer, Ms now) const {
  const auto phase =
      static_cast<Ms>(Random((std::uint64_t{node} << 32U) ^ peer).next() % static_cast<std::uint64_t>(cycle_));
  auto probe = known.seen - known.seen % cycle_ + phase;
  while (probe <= known.seen) probe += cycle_;
  const auto& life = world_.life(peer);
  for (; probe <= now; probe += cycle_) {
    if (!life.up(probe)) {
      if (probe + kProbeTimeout > now) break;
      known.health.failure(at(probe + kProbeTimeout), options_);
    } else if (life.restarted(probe) && !known.restart_seen) {
      known.restart_seen = true;
      known.health.restarted(at(probe));
    } else {
      known.health.hello(at(probe));
    }
    known.seen = probe;
  }
}

bool ChurnHealth::eligible(NodeId node, NodeId peer, Ms now) {
  if (!on_ || node == peer) return true;
  // Who was never silent needs no book-keeping.
  if (world_.up(peer, now) && !known_[node].contains(peer)) return true;
  return known(node, peer, now).health.state(at(now), options_, false) == PeerState::kEligible;
}

void ChurnHealth::answered(NodeId node, NodeId peer, Ms now) {
  if (on_ && node != peer) known(node, peer, now).health.contact(at(now));
}

void ChurnHealth::failed(NodeId node, NodeId peer, Ms now) {
  if (on_ && node != peer) known(node, peer, now).health.failure(at(now), options_);
}

}  // namespace oxbow::p2p::sim

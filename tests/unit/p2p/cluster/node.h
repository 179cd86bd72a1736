// One node of the simulated cluster, and a transfer into it. Part of cluster.cc.
#pragma once

#include "cluster.h"
#include "p2p/finger_owner.h"

namespace oxbow::p2p::test {

struct Cluster::Transfer {
  enum class State : std::uint8_t { kAsked, kWaiting, kFlowing };
  FetchId id = 0;
  std::uint32_t to = 0;
  int from = -1;  ///< a node, or -1: upstream
  StripeRange stripes;
  std::uint32_t stripe = 0;  ///< that is arriving
  double offset = 0;         ///< of this stripe, here
  double bytes = 0;          ///< of all of it
  double last_byte = 0;
  double rate = 0;
  FetchId hedge_of = 0;
  State state = State::kAsked;
  bool cancelled = false;
  double asked_at = 0;
  double served_at = 0;
  std::optional<Along> along = {};
  bool forward = false;                                         ///< for another node, outside the strategy
  PeerId holder = kNoPeer;                                      ///< a forward of the owner, to whom it gave the lease
  std::vector<std::pair<std::uint32_t, FetchId>> waiters = {};  ///< requests that wait for its first byte
  bool running() const { return state == State::kFlowing && !cancelled; }
};

struct Cluster::Node {
  struct Watcher {
    std::uint32_t node = 0;
    HaveMap sent;
    std::vector<std::uint32_t> arriving;
    bool first = true;
  };

  std::uint32_t index = 0;
  std::unique_ptr<Strategy> strategy;
  std::unique_ptr<Coordinator> coordinator;
  std::shared_ptr<const PeerSnapshot> peers;
  FingerOwner owner;
  HaveMap have;
  std::map<FetchId, std::unique_ptr<Transfer>> transfers;
  std::vector<Transfer*> serving;
  std::deque<Transfer*> waiting;
  std::vector<Watcher> watchers;
  std::uint32_t position = 0;  ///< stripes that the reader has taken
  double started = -1;
  double finished = -1;
  double timer = -1;
  double up = 0;
  double down = 0;
  std::uint32_t group = 0;
  bool may_fetch = true;
  bool alive = true;
  bool hung = false;
  bool upstream_stalled = false;
  bool have_dirty = false;
  bool in_pump = false;
  // To the others:
  bool member = true;
  bool vetted = true;
  PeerState state = PeerState::kEligible;
  std::vector<StripeRange> told;
  std::uint64_t sent = 0;
  double upstream_bytes = 0;
  std::uint32_t given = 0;  ///< stripes, as Cluster::stripes_given

  /// What it gets from upstream at this moment, with how much of it is here.
  std::vector<std::uint32_t> arriving() const {
    std::vector<std::uint32_t> out;
    for (const auto& [id, transfer] : transfers) {
      if (transfer->from < 0 && transfer->state == Transfer::State::kFlowing && !transfer->cancelled)
        out.push_back(transfer->stripe);
    }
    return out;
  }
  Transfer* coming(std::uint32_t stripe) const {
    for (const auto& [id, transfer] : transfers) {
      if (!transfer->cancelled && stripe >= transfer->stripe && stripe < transfer->stripes.end) return transfer.get();
    }
    return nullptr;
  }
  /// As `watermark`, of what comes from peers too: along a path it is passed on as it arrives.
  double watermark_along(std::uint32_t stripe, double whole) const {
    if (have.has(stripe)) return whole;
    const auto* transfer = coming(stripe);
    if (transfer == nullptr || !transfer->running()) return -1;
    return transfer->stripe == stripe ? transfer->offset : 0;
  }
  /// Bytes of a stripe that a peer can be given now; < 0: none and none to come.
  double watermark(std::uint32_t stripe, double whole) const {
    if (have.has(stripe)) return whole;
    for (const auto& [id, transfer] : transfers) {
      if (transfer->from < 0 && transfer->stripe == stripe && transfer->state == Transfer::State::kFlowing &&
          !transfer->cancelled)
        return transfer->offset;
    }
    return -1;
  }
};

}  // namespace oxbow::p2p::test

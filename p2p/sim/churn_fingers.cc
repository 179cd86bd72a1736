// A pull along fingers, from outside: client, level-2 peer, level-1 peer, owner; what is done about the dead on the
// way. The numbers are those of p2p/fingers and mirror/peer_paths.cc (docs/decisions/0008-fingers.md).
#include <algorithm>

#include "p2p/sim/churn_cluster.h"
#include "p2p/sim/churn_server.h"

namespace oxbow::p2p::sim {
namespace {

constexpr Ms kDeadline = 1'000;  // until an answer begins
constexpr Ms kHoldersAwaited = 300;
constexpr std::uint32_t kRungs = 5;
constexpr std::uint32_t kOwnerRung = 2;
constexpr std::uint32_t kOwnerAgain = 3;
constexpr int kOwnerAttempts = 3;

}  // namespace

struct ChurnCluster::Passing {
  NodeId asker;
  BlobId blob;
  Ms started;
  Ms now;
  std::vector<NodeId> away = {};     ///< that did not answer this client
  std::vector<NodeId> on_path = {};  ///< that passed it on, and keep it
  bool lease = false;
  PullOutcome out = {};
};

/// True: it came, or the lease did.
bool ChurnCluster::follow(Passing& pull, std::uint32_t rung) {
  const auto view = view_of(pull.asker, pull.now);
  const auto& table = fingers(*view, pull.blob);
  const auto live = [&](const Peer& peer) {
    return health_.eligible(pull.asker, peer.id - 1, pull.now) &&
           std::ranges::find(pull.away, peer.id - 1) == pull.away.end();
  };
  const auto* owner = table.live_owner(live);
  if (owner == nullptr) return false;
  std::vector<NodeId> path;
  if (rung < kOwnerRung && owner->id - 1 != pull.asker) {
    Random fixed(keys_[pull.blob] ^ Random(pull.asker).next() ^ (std::uint64_t{rung} << 32U));
    const auto near = [&](const Peer& peer) {
      return peer.id - 1 == pull.asker ? 3U : world_.near(pull.asker, peer.id - 1);
    };
    const auto b = FingerTable::fan_out(view->peers->peers().size());
    const auto route = table.choose(fixed, random_, 1.0 / b, live, near);
    for (const auto* hop : {route.h2, route.h1}) {
      if (hop != nullptr && hop->id - 1 != pull.asker && hop->id != owner->id) path.push_back(hop->id - 1);
    }
  }
  if (owner->id - 1 == pull.asker) return act_as_owner(pull, pull.asker, kDeadline);
  path.push_back(owner->id - 1);
  const auto first = path.front();
  path.erase(path.begin());
  ++pull.out.hops;
  if (!world_.up(first, pull.now)) {
    pull.now += kDeadline;
    ++pull.out.dead_asked;
    pull.out.dead_first = true;
    health_.failed(pull.asker, first, pull.now);
    // An owner is asked once more before another takes its place.
    if (!path.empty() || rung >= kOwnerAgain) pull.away.push_back(first);
    return false;
  }
  pull.now += options_.hop_ms;
  health_.answered(pull.asker, first, pull.now);
  return pass(pull, first, std::move(path), kDeadline);
}

/// `judge` has been asked, with peers after it.
bool ChurnCluster::pass(Passing& pull, NodeId judge, std::vector<NodeId> path, Ms left) {
  if (holds(judge, pull.blob)) {
    pull.out.sources = {judge};
    return true;
  }
  if (path.empty()) return act_as_owner(pull, judge, left);
  const auto view = view_of(judge, pull.now);
  const auto reachable = [&](NodeId node) {
    return view->peers->find(node + 1) != nullptr && health_.eligible(judge, node, pull.now);
  };
  if (!reachable(path.back())) return false;
  std::erase_if(path, [&](NodeId node) { return !reachable(node); });
  while (!path.empty() && left > 0) {
    const auto next = path.front();
    path.erase(path.begin());
    const auto deadline = path.empty() ? left * 7 / 8 : left * 2 / 3;
    ++pull.out.hops;
    if (world_.up(next, pull.now)) {
      pull.now += options_.hop_ms;
      health_.answered(judge, next, pull.now);
      const bool got = pass(pull, next, path, deadline);
      if (got && !pull.lease) pull.on_path.push_back(judge);
      return got;
    }
    pull.now += deadline;
    left -= deadline;
    ++pull.out.dead_asked;
    pull.out.dead_first = true;
    health_.failed(judge, next, pull.now);
  }
  return false;
}

bool ChurnCluster::act_as_owner(Passing& pull, NodeId owner, Ms left) {
  if (!world_.up(owner, pull.now)) return false;
  auto& turns = server(owner, pull.now).fingers;
  const auto& digest = digests_[pull.blob];
  const auto known = owner == pull.asker || view_of(owner, pull.now)->peers->find(pull.asker + 1) != nullptr;
  for (int attempt = 0; attempt < kOwnerAttempts && left > 0; ++attempt) {
    const auto turn =
        turns.ask(Time(pull.now), digest, 0, known ? pull.asker + 1 : kNoPeer, known ? kStripesPerSpan : 0);
    if (turn.kind == FingerOwner::Turn::Kind::kFetch) {
      pull.lease = true;
      return true;
    }
    if (turn.kind == FingerOwner::Turn::Kind::kNobody) return false;
    const auto holder = turn.holder - 1;
    ++pull.out.hops;
    if (world_.up(holder, pull.now)) {
      pull.now += options_.hop_ms;
      if (holds(holder, pull.blob)) {
        turns.given(Time(pull.now), digest, 0, turn.holder);
        pull.out.sources = {holder};
        if (owner != pull.asker) pull.on_path.push_back(owner);
        return true;
      }
      if (!turns.not_given(Time(pull.now), digest, 0, turn.holder, Errc::kNotFound)) return false;
      continue;
    }
    const auto deadline = left * 7 / 8;
    pull.now += deadline;
    left -= deadline;
    ++pull.out.dead_asked;
    health_.failed(owner, holder, pull.now);
    turns.not_given(Time(pull.now), digest, 0, turn.holder, Errc::kTimeout);
  }
  return false;
}

/// Before upstream: holders that no owner remembers, by the word of the blob's coordinator. True: one of them serves.
bool ChurnCluster::use_lease(Passing& pull) {
  const auto coordinators = ranked(pull.asker, pull.blob, 1, pull.now);
  if (coordinators.empty()) return false;
  const auto coordinator = coordinators.front();
  if (!world_.up(coordinator, pull.now)) {
    // It was asked when the pull began; what is waited for it is what is left of that.
    pull.now += std::max<Ms>(0, pull.started + kHoldersAwaited - pull.now);
    ++pull.out.dead_asked;
    health_.failed(pull.asker, coordinator, pull.now);
    return false;
  }
  auto question = wish(pull.blob);
  question.ask.clear();
  const auto reply = announce(pull.asker, coordinator, std::move(question), pull.now);
  const auto view = view_of(pull.asker, pull.now);
  for (const auto& neighbour : reply.neighbours) {
    const auto* peer = neighbour.complete ? view->peers->find(neighbour.name) : nullptr;
    if (peer == nullptr || peer->id - 1 == pull.asker || !health_.eligible(pull.asker, peer->id - 1, pull.now))
      continue;
    ++pull.out.hops;
    ++pull.out.extra_hops;
    if (world_.up(peer->id - 1, pull.now)) {
      pull.now += options_.hop_ms;
      pull.out.sources = {peer->id - 1};
      return true;
    }
    pull.now += kDeadline;
    ++pull.out.dead_asked;
    health_.failed(pull.asker, peer->id - 1, pull.now);
  }
  return false;
}

PullOutcome ChurnCluster::pull_by_fingers(NodeId asker, BlobId blob, Ms now) {
  Passing pull{.asker = asker, .blob = blob, .started = now, .now = now};
  bool got = false;
  std::uint32_t wasted = 0;
  for (std::uint32_t rung = 0; rung < kRungs && !got; ++rung) {
    wasted = pull.out.hops;
    const auto dead_before = pull.out.dead_asked;
    got = follow(pull, rung);
    if (got) wasted += pull.out.dead_asked - dead_before;
  }
  pull.out.extra_hops += got ? wasted : pull.out.hops;
  if (!got) pull.now += 20 + random_.below(60);
  if (!got || (pull.lease && !use_lease(pull))) {
    pull.out.upstream = true;
    ++pull.out.hops;
  }
  pull.out.delay_ms = pull.now - pull.started;
  keep(asker, blob);
  for (const auto node : pull.on_path) keep(node, blob);
  return std::move(pull.out);
}

}  // namespace oxbow::p2p::sim

// A pull by the swarm's rules, from outside: the coordinator, or who takes its place; the neighbours that it names; a
// lease of upstream when nobody has the blob. The numbers are those of p2p/swarm (docs/decisions/0007-swarm.md).
#include <algorithm>

#include "p2p/sim/churn_cluster.h"
#include "p2p/sim/churn_server.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::size_t kReplicas = 3;
constexpr std::size_t kPeerFetches = 10;
constexpr Ms kSilentCoordinator = 1'000;
constexpr Ms kHedge = 300;         // a stripe without a byte for this long is asked for elsewhere too
constexpr Ms kNoProgress = 1'000;  // then the peer is left
constexpr Ms kStuckWithoutHolder = 3'000;
constexpr Ms kAloneJitter = 500;
constexpr std::size_t kReported = 16;

}  // namespace

struct ChurnCluster::Swarming {
  NodeId asker;
  BlobId blob;
  Ms started;
  Ms now;
  NodeId coordinator = 0;
  std::vector<NodeId> silent = {};
  std::vector<NodeId> unreachable = {};
  PullOutcome out = {};
};

/// False: none of the ranked ones answers.
bool ChurnCluster::find_coordinator(Swarming& pull) {
  for (;;) {
    const auto candidates = ranked(pull.asker, pull.blob, kReplicas, pull.now);
    const auto next = std::ranges::find_if(
        candidates, [&](NodeId one) { return std::ranges::find(pull.silent, one) == pull.silent.end(); });
    if (next == candidates.end()) return false;
    pull.coordinator = *next;
    if (*next == pull.asker) return true;
    ++pull.out.hops;
    if (!pull.silent.empty()) ++pull.out.extra_hops;
    if (world_.up(*next, pull.now)) {
      pull.now += options_.hop_ms;
      // It may have died while the request was under way: the next moment tells.
      if (world_.up(*next, pull.now)) {
        health_.answered(pull.asker, *next, pull.now);
        return true;
      }
    }
    pull.now += kSilentCoordinator;
    health_.failed(pull.asker, *next, pull.now);
    pull.silent.push_back(*next);
    ++pull.out.dead_asked;
    pull.out.dead_first = true;
  }
}

/// Of those that the coordinator names, as many as a node fetches from. True: one of them serves.
bool ChurnCluster::ask_neighbours(Swarming& pull, const AnnounceReply& reply) {
  const auto view = view_of(pull.asker, pull.now);
  std::vector<NodeId> named;
  for (const auto& neighbour : reply.neighbours) {
    const auto* peer = view->peers->find(neighbour.name);
    if (peer == nullptr) continue;
    const auto node = peer->id - 1;
    // The coordinator's snapshot is shared; what it has found out itself speaks here.
    if (node == pull.asker || !health_.eligible(pull.coordinator, node, pull.now) ||
        !health_.eligible(pull.asker, node, pull.now) ||
        std::ranges::find(pull.unreachable, node) != pull.unreachable.end())
      continue;
    named.push_back(node);
  }
  for (std::size_t i = named.size(); i > 1; --i)
    std::swap(named[i - 1], named[random_.below(static_cast<std::uint32_t>(i))]);
  if (named.size() > kPeerFetches) named.resize(kPeerFetches);
  if (named.empty()) return false;
  ++pull.out.hops;
  // The first stripe's luck is the delay; the other fetches run beside it.
  Ms lost = 0;
  bool hedged = false;
  for (const auto node : named) {
    if (world_.up(node, pull.now) && holds(node, pull.blob)) {
      pull.out.sources.push_back(node);
      continue;
    }
    if (world_.up(node, pull.now)) continue;
    ++pull.out.dead_asked;
    pull.unreachable.push_back(node);
    if (!pull.out.sources.empty()) continue;
    lost += hedged ? kNoProgress - kHedge : kHedge;
    hedged = !hedged;
    ++pull.out.extra_hops;
    ++pull.out.hops;
  }
  for (const auto node : pull.unreachable) health_.failed(pull.asker, node, pull.now + kNoProgress);
  if (pull.out.sources.empty()) {
    pull.now += kNoProgress;
    return false;
  }
  pull.now += lost + options_.hop_ms;
  for (const auto node : pull.out.sources) health_.answered(pull.asker, node, pull.now);
  return true;
}

/// The coordinator has only just come up: who was there before may know more.
void ChurnCluster::ask_successor(Swarming& pull) {
  for (const auto node : ranked(pull.asker, pull.blob, kReplicas, pull.now)) {
    if (node == pull.coordinator || node == pull.asker) continue;
    ++pull.out.hops;
    ++pull.out.extra_hops;
    if (!world_.up(node, pull.now)) {
      pull.now += kSilentCoordinator;
      health_.failed(pull.asker, node, pull.now);
      ++pull.out.dead_asked;
      return;
    }
    auto question = wish(pull.blob);
    question.ask.clear();
    ask_neighbours(pull, announce(pull.asker, node, std::move(question), pull.now));
    return;
  }
}

PullOutcome ChurnCluster::pull_by_swarm(NodeId asker, BlobId blob, Ms now) {
  Swarming pull{.asker = asker, .blob = blob, .started = now, .now = now};
  const auto done = [&] {
    finish(pull);
    return std::move(pull.out);
  };
  if (!find_coordinator(pull)) {
    pull.now += random_.below(kAloneJitter);
    pull.out.upstream = true;
    return done();
  }
  for (bool first = true;; first = false) {
    auto message = wish(blob);
    const auto view = view_of(asker, pull.now);
    for (const auto* list : {&pull.silent, &pull.unreachable}) {
      for (const auto node : *list) {
        const auto* peer = view->peers->find(node + 1);
        if (peer != nullptr && message.unreachable.size() < kReported) message.unreachable.push_back(peer->member.name);
      }
    }
    if (!first) {
      ++pull.out.hops;
      ++pull.out.extra_hops;
      if (!world_.up(pull.coordinator, pull.now)) {
        pull.silent.push_back(pull.coordinator);
        ++pull.out.dead_asked;
        pull.now += kSilentCoordinator;
        if (!find_coordinator(pull)) break;
      }
    }
    const auto reply = announce(asker, pull.coordinator, std::move(message), pull.now);
    if (ask_neighbours(pull, reply)) return done();
    if (reply.fresh && first) ask_successor(pull);
    if (!pull.out.sources.empty()) return done();
    if (!reply.granted.empty() || pull.now - pull.started >= kStuckWithoutHolder) break;
    // Somebody else has the lease, or is said to have the blob: it is asked again as often as the coordinator says.
    pull.now += std::clamp<Ms>(reply.again.count(), 50, 10'000);
  }
  pull.out.upstream = true;
  return done();
}

/// It has begun: whoever comes next finds it here.
void ChurnCluster::finish(Swarming& pull) {
  pull.out.delay_ms = pull.now - pull.started;
  if (pull.out.upstream) ++pull.out.hops;
  keep(pull.asker, pull.blob);
  const bool coordinated = std::ranges::find(pull.silent, pull.coordinator) == pull.silent.end();
  if (!coordinated || !world_.up(pull.coordinator, pull.now) || !world_.up(pull.asker, pull.now)) return;
  auto message = holding(pull.blob);
  message.released = {0};
  announce(pull.asker, pull.coordinator, std::move(message), pull.now);
}

}  // namespace oxbow::p2p::sim

#include "p2p/sim/churn_cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/geometry.h"
#include "p2p/sim/churn_server.h"

namespace oxbow::p2p::sim {
namespace {

/// One span: at the level of pulls a blob is fetched under one lease or from peers.
constexpr std::uint64_t kBlobBytes = kStripesPerSpan * kMinStripeBytes;
/// A holder that a coordinator has heard of within this time need not be told of again, so that storms of announcements
/// are counted without being carried out.
constexpr Ms kToldHolds = 150'000;
/// As mirror's ring node; worked off when somebody asks.
constexpr Ms kTick = 500;
/// Beyond these no node's view reaches back.
constexpr Ms kViewsKept = 2 * ChurnWorld::kAges;

}  // namespace

ChurnCluster::ChurnCluster(const ChurnOptions& options, ChurnWorld& world, Random& random)
    : options_(options),
      world_(world),
      random_(random),
      health_(world, options.nodes, options.breakers),
      held_(world.lives().size()),
      holders_(options.blobs),
      servers_(world.lives().size()) {
  for (BlobId blob = 0; blob < options.blobs; ++blob) {
    digests_.push_back(Digest::sha256(fmt::format("blob {}", blob)));
    keys_.push_back(key_of(digests_.back()));
  }
}

ChurnCluster::~ChurnCluster() = default;

ChurnCluster::Held* ChurnCluster::find(NodeId node, BlobId blob) {
  const auto found = std::ranges::find(held_[node], blob, &Held::blob);
  return found == held_[node].end() ? nullptr : &*found;
}

bool ChurnCluster::holds(NodeId node, BlobId blob) const {
  return std::ranges::find(held_[node], blob, &Held::blob) != held_[node].end();
}

bool ChurnCluster::held_elsewhere(NodeId node, BlobId blob, Ms now) const {
  return std::ranges::any_of(holders_[blob], [&](NodeId one) { return one != node && world_.up(one, now); });
}

void ChurnCluster::keep(NodeId node, BlobId blob) {
  if (holds(node, blob)) return;
  held_[node].push_back({.blob = blob});
  holders_[blob].push_back(node);
}

ChurnCluster::Server& ChurnCluster::server(NodeId node, Ms now) {
  const auto& life = world_.life(node);
  OXBOW_INVARIANT(life.up(now));
  auto& server = servers_[node];
  const bool second = life.restarted(now);
  if (server == nullptr || server->second != second)
    server = std::make_unique<Server>(node, second ? life.down_until : life.born, second);
  return *server;
}

std::vector<NodeId> ChurnCluster::ranked(NodeId node, BlobId blob, std::size_t count, Ms now) {
  const auto view = view_of(node, now);
  const auto& peers = view->peers->peers();
  auto walk = view->peers->ring().walk(
      keys_[blob], count, [&](std::uint32_t index) { return health_.eligible(node, peers[index].id - 1, now); });
  for (auto& one : walk) one = peers[one].id - 1;
  return walk;
}

const std::vector<ChurnCluster::Top>& ChurnCluster::tops(const View& view) {
  if (const auto known = tops_.find(view.published); known != tops_.end()) return known->second;
  std::erase_if(tops_, [&](const auto& one) { return one.first < view.published - kViewsKept * world_.view_every(); });
  auto& tops = tops_[view.published];
  for (const auto key : keys_) {
    const auto walk = view.peers->ring().walk(key, 2, [](std::uint32_t) { return true; });
    const auto node = [&](std::size_t place) {
      return view.peers->peers()[walk[std::min(place, walk.size() - 1)]].id - 1;
    };
    tops.push_back({node(0), node(1)});
  }
  return tops;
}

Announce ChurnCluster::wish(BlobId blob) const {
  Announce out;
  out.digest = digests_[blob];
  out.size = kBlobBytes;
  out.have = HaveMap(kStripesPerSpan);
  out.may_fetch = true;
  out.ask = {0};
  out.know_midstates = true;
  return out;
}

Announce ChurnCluster::holding(BlobId blob) const {
  auto out = wish(blob);
  out.interest = Interest::kHolding;
  out.have = HaveMap(kStripesPerSpan, true);
  out.ask.clear();
  out.want_neighbours = false;
  return out;
}

/// A coordinator that does not know the asker takes it for nobody in particular, as the daemon does.
AnnounceReply ChurnCluster::announce(NodeId from, NodeId coordinator, Announce message, Ms now) {
  const auto view = view_of(coordinator, now);
  const auto id = view->peers->find(from + 1) == nullptr && from != coordinator ? kNoPeer : from + 1;
  auto& state = server(coordinator, now);
  if (now - state.ticked >= kTick) {
    state.ticked = now;
    state.coordinator.tick(Time(now), *view->peers);
  }
  return state.coordinator.on_announce(Time(now), id, message, *view->peers);
}

void ChurnCluster::tell(NodeId node, BlobId blob, Ms now) {
  auto* held = find(node, blob);
  if (held == nullptr || !world_.up(node, now)) return;
  const auto view = view_of(node, now);
  auto top = tops(*view)[blob];
  if (!health_.eligible(node, top[0], now) || !health_.eligible(node, top[1], now)) {
    const auto walk = ranked(node, blob, 2, now);
    for (std::size_t i = 0; i < top.size() && i < walk.size(); ++i) top[i] = walk[i];
  }
  for (const auto coordinator : top) {
    ++announcements_;
    if (!world_.up(coordinator, now)) {
      health_.failed(node, coordinator, now);
      continue;
    }
    const auto known = std::ranges::find(held->told, coordinator) - held->told.begin();
    const bool told =
        known < 2 && held->told_at[known] >= 0 && now - held->told_at[known] < kToldHolds &&
        (!world_.life(coordinator).restarted(now) || held->told_at[known] >= world_.life(coordinator).down_until);
    if (told) continue;
    announce(node, coordinator, holding(blob), now);
    const auto place = known < 2 ? known : (held->told_at[0] <= held->told_at[1] ? 0 : 1);
    held->told[place] = coordinator;
    held->told_at[place] = now;
  }
}

void ChurnCluster::tell_all(NodeId node, Ms now) {
  for (std::size_t i = 0; i < held_[node].size(); ++i) tell(node, held_[node][i].blob, now);
}

void ChurnCluster::tell_moved(std::uint32_t age, const View& before, const View& after, Ms now) {
  const auto old_tops = tops(before);
  const auto new_tops = tops(after);
  for (BlobId blob = 0; blob < options_.blobs; ++blob) {
    if (old_tops[blob] == new_tops[blob]) continue;
    for (const auto node : holders_[blob]) {
      if (ChurnWorld::age_of(node) == age) tell(node, blob, now);
    }
  }
}

std::vector<std::pair<NodeId, BlobId>> ChurnCluster::told_to(NodeId node, std::uint32_t age, Ms now) {
  std::vector<std::pair<NodeId, BlobId>> out;
  const auto& all = tops(*world_.view(age, now));
  for (BlobId blob = 0; blob < options_.blobs; ++blob) {
    if (all[blob][0] != node && all[blob][1] != node) continue;
    for (const auto holder : holders_[blob]) {
      if (ChurnWorld::age_of(holder) == age && world_.up(holder, now)) out.emplace_back(holder, blob);
    }
  }
  return out;
}

const FingerTable& ChurnCluster::fingers(const View& view, BlobId blob) {
  if (const auto known = fingers_.find({view.published, blob}); known != fingers_.end()) return *known->second;
  std::erase_if(fingers_,
                [&](const auto& one) { return one.first.first < view.published - kViewsKept * world_.view_every(); });
  auto& table = fingers_[{view.published, blob}];
  table = std::make_unique<const FingerTable>(view.peers, key_of(digests_[blob], 0));
  return *table;
}

}  // namespace oxbow::p2p::sim

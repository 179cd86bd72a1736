#include "p2p/sim/seed_arm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace oxbow::p2p::sim {
namespace {

/// By tier: the same node, rack, row; across rows. An oversubscription of 4 at the racks, of 2 more at the rows.
constexpr std::uint32_t kWeights[] = {0, 1, 4, 8};

/// Cumulative Zipf weights, by rank; the last is 1.
std::vector<double> zipf(std::uint32_t files, double alpha) {
  std::vector<double> out(files);
  double sum = 0;
  for (std::uint32_t i = 0; i < files; ++i) out[i] = sum += std::pow(1.0 + i, -alpha);
  for (auto& value : out) value /= sum;
  return out;
}

}  // namespace

SeedArm::SeedArm(const SeedOptions& options, const SeedShape& shape, const SeedPlacement& placement, std::uint64_t seed,
                 bool locality)
    : options_(options),
      shape_(shape),
      placement_(placement),
      topology_(options.rack_nodes, options.row_racks),
      seed_(seed),
      locality_(locality),
      popularity_(zipf(options.files, options.alpha)),
      store_(shape.nodes, placement.keys(), shape.capacity),
      jitter_(stream_of(seed, SeedStream::kJitter)),
      tiers_(std::max(shape.level2(), shape.b)),
      serves_(shape.nodes) {
  if (!options.pinned) return;
  for (std::uint32_t key = 0; key < placement.keys(); ++key) {
    store_.pin(placement.owner(key), key);
    for (const auto node : locality ? placement.near_replicas(key) : placement.far_replicas(key)) store_.pin(node, key);
  }
}

void SeedArm::run(Progress& progress) {
  auto demand = stream_of(seed_, SeedStream::kDemand);
  std::vector<std::uint32_t> order(options_.stripes);
  const auto requests = std::uint64_t{options_.requests_per_node} * shape_.nodes;
  for (std::uint64_t request = 0; request < requests; ++request) {
    const auto client = demand.below(shape_.nodes);
    const auto rank = std::ranges::upper_bound(popularity_, demand.uniform()) - popularity_.begin();
    const auto file = std::min(static_cast<std::uint32_t>(rank), options_.files - 1);
    std::iota(order.begin(), order.end(), file * options_.stripes);
    for (auto i = options_.stripes; i > 1; --i) std::swap(order[i - 1], order[demand.below(i)]);
    for (const auto key : order) pull(client, key);
    if (request % 1024 != 0) continue;
    progress.add(std::min<std::uint64_t>(1024, requests - request) * options_.stripes);
    if (progress.cancelled()) return;
  }
}

// Two things that the rules leave open. A serve is one answer from an own copy: who passes bytes on, or pushes them,
// serves nothing. Of the readings of "serves per node" this one meets the published skews; counting every sender
// gives 3.2 and 4.4 in place of 4.4 and 6.6. And a client that is itself the level-1 peer gets the bytes twice, as H1
// and as client.
void SeedArm::pull(SeedNode client, std::uint32_t key) {
  ++pulls_;
  // Drawn before anything is decided: both arms toss the same coins for the same pull.
  const bool jitter = jitter_.uniform() < shape_.epsilon;
  const auto any = jitter_.below(shape_.b);
  if (store_.has(client, key)) return store_.touch(client, key);
  if (client == placement_.owner(key)) return pull_own(client, key);
  ++hop_pulls_;
  const auto [h2, h1] = path_of(client, key, jitter, any);
  if (h2 != client && store_.has(h2, key)) {
    store_.touch(h2, key);
    ++serves_[h2];
    ++client_hops_;
    hop(h2, client, key);
    if (h1 == client || store_.has(h1, key)) return;
    hop(h2, h1, key);
    store_.admit(h1, key);
    return;
  }
  // From here on the bytes come through H1: its own copy, or the owner's.
  if (store_.has(h1, key)) {
    store_.touch(h1, key);
    ++serves_[h1];
  } else {
    ++serves_[make_owner_hold(key)];
    ++client_hops_;
    hop(placement_.owner(key), h1, key);
    store_.admit(h1, key);
  }
  ++client_hops_;
  hop(h1, h2, key);
  if (h2 == client) return;  // who asks keeps no copy
  store_.admit(h2, key);
  ++client_hops_;
  hop(h2, client, key);
}

/// Only without pins: the owner asks no finger for what it has lost.
void SeedArm::pull_own(SeedNode owner, std::uint32_t key) {
  const auto source = make_owner_hold(key);
  if (source == owner) return;
  ++hop_pulls_;
  ++client_hops_;
  ++serves_[source];
}

SeedArm::Path SeedArm::path_of(SeedNode client, std::uint32_t key, bool jitter, std::uint32_t any) {
  auto random = stream_of(seed_, SeedStream::kChoice, std::uint64_t{key} * shape_.nodes + client);
  const auto level2 = placement_.level2(key);
  const auto index = choose(client, level2, random);
  const auto level1 = placement_.level1(key, index);
  const auto below = choose(client, level1, random);
  return {level2[index], level1[jitter ? any : below]};
}

std::uint32_t SeedArm::choose(SeedNode client, std::span<const SeedNode> candidates, Random& random) {
  return locality_ ? nearest(client, candidates, random) : random.below(static_cast<std::uint32_t>(candidates.size()));
}

std::uint32_t SeedArm::nearest(SeedNode client, std::span<const SeedNode> candidates, Random& random) {
  const auto rack = topology_.rack_begin(client);
  const auto row = topology_.row_begin(client);
  const auto rack_nodes = topology_.rack_nodes();
  const auto row_nodes = topology_.row_nodes();
  // Without branches and without division: this loop is where the time goes.
  std::uint8_t best = 3;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto node = candidates[i];
    const auto tier =
        static_cast<std::uint8_t>(3 - (node - row < row_nodes) - (node - rack < rack_nodes) - (node == client));
    tiers_[i] = tier;
    best = std::min(best, tier);
  }
  const auto end = tiers_.begin() + static_cast<std::ptrdiff_t>(candidates.size());
  auto at = std::find(tiers_.begin(), end, best);
  const auto equals = static_cast<std::uint32_t>(std::count(at, end, best));
  const auto chosen = random.below(equals);
  if (options_.tier_sampling)
    for (std::uint32_t i = 0; i < chosen; ++i) at = std::find(at + 1, end, best);
  return static_cast<std::uint32_t>(at - tiers_.begin());
}

/// Without pins the owner may lack its key: it asks its replicas, then upstream, and gives what came from there to its
/// replicas (which is not counted, as the seed does not count how its replicas came to be). Returns whose copy it was.
SeedNode SeedArm::make_owner_hold(std::uint32_t key) {
  const auto owner = placement_.owner(key);
  if (store_.has(owner, key)) {
    store_.touch(owner, key);
    return owner;
  }
  const auto replicas = locality_ ? placement_.near_replicas(key) : placement_.far_replicas(key);
  const auto holder = std::ranges::find_if(replicas, [&](SeedNode node) { return store_.has(node, key); });
  store_.admit(owner, key);
  if (holder != replicas.end()) {
    store_.touch(*holder, key);
    hop(*holder, owner, key);
    return *holder;
  }
  ++origin_fetches_;
  for (const auto node : replicas) store_.admit(node, key);
  return owner;
}

void SeedArm::hop(SeedNode from, SeedNode to, std::uint32_t key) {
  OXBOW_INVARIANT(from != to && store_.has(from, key));
  const auto tier = topology_.tier(from, to);
  ++system_hops_;
  weights_ += kWeights[tier];
  cross_rack_ += tier >= 2 ? 1 : 0;
  cross_row_ += tier == 3 ? 1 : 0;
}

SeedFigures<double> SeedArm::figures() const {
  SeedFigures<double> out{};
  const auto ratio = [](auto a, auto b) { return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b); };
  out.at(SeedMetric::kClientHops) = ratio(client_hops_, hop_pulls_);
  out.at(SeedMetric::kSystemHops) = ratio(system_hops_, hop_pulls_);
  out.at(SeedMetric::kCongestionFactor) = ratio(weights_, system_hops_);
  out.at(SeedMetric::kCrossRackShare) = ratio(cross_rack_, system_hops_);
  out.at(SeedMetric::kCrossRowShare) = ratio(cross_row_, system_hops_);
  std::uint64_t copies = 0;
  std::uint64_t hot = 0;
  for (std::uint32_t key = 0; key < placement_.keys(); ++key) {
    copies += store_.copies(key);
    if (key < options_.stripes) hot += store_.copies(key);
  }
  out.at(SeedMetric::kCopiesPerStripe) = ratio(copies, placement_.keys());
  out.at(SeedMetric::kCopiesHot) = ratio(hot, options_.stripes);
  // By the rule as it is written, which is 1 for all but huge demand: it holds copies of stripes against requests of
  // the file, and a request is for all of its stripes.
  const double requests = static_cast<double>(options_.requests_per_node) * shape_.nodes;
  out.at(SeedMetric::kHotFileShare) = std::min(1.0, static_cast<double>(hot) / (requests * popularity_.front()));
  OXBOW_INVARIANT(copies == store_.added() - store_.evictions());
  std::vector<double> serves(serves_.begin(), serves_.end());
  const double mean = ratio(hop_pulls_, serves.size());
  OXBOW_INVARIANT(std::accumulate(serves_.begin(), serves_.end(), std::uint64_t{0}) == hop_pulls_);
  out.at(SeedMetric::kServeSkewP99) = ratio(quantile(serves, 0.99), mean);
  out.at(SeedMetric::kServeSkewMax) = ratio(serves.back(), mean);
  out.at(SeedMetric::kEvictionsPerPull) = ratio(store_.evictions(), pulls_);
  out.at(SeedMetric::kOriginFetchesPerStripe) = ratio(origin_fetches_, placement_.keys());
  return out;
}

}  // namespace oxbow::p2p::sim

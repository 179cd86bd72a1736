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

// A serve is one answer from an own copy: who passes bytes on, or pushes them, serves nothing. Of the readings of
// "serves per node" this one meets the published skews; counting every sender gives 3.2 and 4.4 in place of 4.4
// and 6.6.
void SeedArm::pull(SeedNode client, std::uint32_t key) {
  ++pulls_;
  // Drawn before anything is decided: both arms toss the same coins for the same pull.
  const bool jitter = jitter_.uniform() < shape_.epsilon;
  const auto any = jitter_.below(shape_.b);
  if (store_.has(client, key)) return store_.touch(client, key);
  ++hop_pulls_;
  const auto [h2, h1] = path_of(client, key, jitter, any);
  const auto owner = placement_.owner(key);
  const auto h1_has = store_.has(h1, key);
  if (h2 != client && store_.has(h2, key)) {
    store_.touch(h2, key);
    client_hops_ += 1;
    hop(h2, client);
    ++serves_[h2];
    if (h1 != client && !h1_has) {
      hop(h2, h1);
      admit(h1, key);
    }
    return;
  }
  // From here on the bytes come through H1: its own copy, or the owner's.
  if (h1_has) {
    store_.touch(h1, key);
    ++serves_[h1];
  } else {
    make_owner_hold(key);
    client_hops_ += 1;
    hop(owner, h1);
    ++serves_[owner];
    admit(h1, key);
  }
  client_hops_ += 1;
  hop(h1, h2);
  if (h2 == client) return;  // who asks keeps no copy
  client_hops_ += 1;
  hop(h2, client);
  admit(h2, key);
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

/// Without pins the owner fetches from upstream what it has not, or no longer, and gives it to its replicas, which the
/// seed's simulator does not count either; before that it asks the replicas.
void SeedArm::make_owner_hold(std::uint32_t key) {
  const auto owner = placement_.owner(key);
  if (store_.has(owner, key)) return store_.touch(owner, key);
  const auto replicas = locality_ ? placement_.near_replicas(key) : placement_.far_replicas(key);
  const auto holder = std::ranges::find_if(replicas, [&](SeedNode node) { return store_.has(node, key); });
  if (holder != replicas.end()) {
    store_.touch(*holder, key);
    hop(*holder, owner);
  } else {
    ++origin_fetches_;
    for (const auto node : replicas) admit(node, key);
  }
  admit(owner, key);
}

void SeedArm::hop(SeedNode from, SeedNode to) {
  OXBOW_INVARIANT(from != to);
  const auto tier = topology_.tier(from, to);
  ++system_hops_;
  weights_ += kWeights[tier];
  cross_rack_ += tier >= 2 ? 1 : 0;
  cross_row_ += tier == 3 ? 1 : 0;
}

double SeedArm::hot_file_share() const {
  double hot = 0;
  for (std::uint32_t key = 0; key < options_.stripes; ++key) hot += store_.copies(key);
  const double requests = static_cast<double>(options_.requests_per_node) * shape_.nodes;
  // By the rule as it is written, which is 1 for all but huge demand: S · copies of a stripe are counted against
  // requests of the file.
  return std::min(1.0, hot / (requests * popularity_.front()));
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
  out.at(SeedMetric::kHotFileShare) = hot_file_share();
  std::vector<double> serves(serves_.begin(), serves_.end());
  const double mean = std::accumulate(serves.begin(), serves.end(), 0.0) / static_cast<double>(serves.size());
  out.at(SeedMetric::kServeSkewP99) = ratio(quantile(serves, 0.99), mean);
  out.at(SeedMetric::kServeSkewMax) = ratio(serves.back(), mean);
  out.at(SeedMetric::kEvictionsPerPull) = ratio(store_.evictions(), pulls_);
  out.at(SeedMetric::kOriginFetchesPerStripe) = ratio(origin_fetches_, placement_.keys());
  return out;
}

}  // namespace oxbow::p2p::sim

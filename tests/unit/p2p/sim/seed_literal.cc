#include "tests/unit/p2p/sim/seed_literal.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>
#include <set>

#include "p2p/sim/seed_placement.h"

namespace oxbow::p2p::sim {
namespace {

class Literal {
 public:
  Literal(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed, bool locality)
      : options_(options),
        shape_(shape),
        seed_(seed),
        locality_(locality),
        topology_(options.rack_nodes, options.row_racks),
        placement_(options, shape, seed),
        pinned_(shape.nodes),
        lru_(shape.nodes),
        serves_(shape.nodes) {
    for (std::uint32_t key = 0; key < placement_.keys(); ++key) {
      pinned_[placement_.owner(key)].insert(key);
      for (const auto node : locality ? placement_.near_replicas(key) : placement_.far_replicas(key))
        pinned_[node].insert(key);
    }
  }

  SeedFigures<double> run() {
    double total = 0;
    for (std::uint32_t i = 0; i < options_.files; ++i) total += std::pow(1.0 + i, -options_.alpha);
    auto demand = stream_of(seed_, SeedStream::kDemand);
    auto coins = stream_of(seed_, SeedStream::kJitter);
    for (std::uint32_t request = 0; request < options_.requests_per_node * shape_.nodes; ++request) {
      const auto client = demand.below(shape_.nodes);
      const double wanted = demand.uniform();
      std::uint32_t file = 0;
      for (double sum = 1; file + 1 < options_.files && sum / total <= wanted; ++file)
        sum += std::pow(2.0 + file, -options_.alpha);
      std::vector<std::uint32_t> order(options_.stripes);
      std::iota(order.begin(), order.end(), file * options_.stripes);
      for (auto i = options_.stripes; i > 1; --i) std::swap(order[i - 1], order[demand.below(i)]);
      for (const auto key : order) {
        const bool jitter = coins.uniform() < shape_.epsilon;
        pull(client, key, jitter, coins.below(shape_.b));
      }
    }
    return figures();
  }

 private:
  bool has(SeedNode node, std::uint32_t key) {
    if (pinned_[node].contains(key)) return true;
    auto& keys = lru_[node];
    const auto at = std::ranges::find(keys, key);
    return at != keys.end();
  }
  void touch(SeedNode node, std::uint32_t key) {
    if (pinned_[node].contains(key)) return;
    lru_[node].remove(key);
    lru_[node].push_front(key);
  }
  void admit(SeedNode node, std::uint32_t key) {
    lru_[node].push_front(key);
    if (lru_[node].size() <= shape_.capacity) return;
    lru_[node].pop_back();
    ++evictions_;
  }

  std::size_t choose(SeedNode client, std::span<const SeedNode> all, Random& random) {
    if (!locality_) return random.below(static_cast<std::uint32_t>(all.size()));
    std::vector<std::size_t> best;
    std::uint32_t nearest = 4;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto tier = topology_.tier(client, all[i]);
      if (tier < nearest) best.clear();
      nearest = std::min(nearest, tier);
      if (tier == nearest) best.push_back(i);
    }
    const auto any = random.below(static_cast<std::uint32_t>(best.size()));
    return best[options_.tier_sampling ? any : 0];
  }

  void pull(SeedNode client, std::uint32_t key, bool jitter, std::uint32_t any) {
    ++pulls_;
    if (has(client, key)) return touch(client, key);
    auto random = stream_of(seed_, SeedStream::kChoice, std::uint64_t{key} * shape_.nodes + client);
    const auto index = choose(client, placement_.level2(key), random);
    const auto h2 = placement_.level2(key)[index];
    const auto level1 = placement_.level1(key, static_cast<std::uint32_t>(index));
    const auto own = choose(client, level1, random);
    const auto h1 = level1[jitter ? any : own];
    const auto owner = placement_.owner(key);
    if (h2 == client) {
      if (has(h1, key)) {
        touch(h1, key);
        return went({h1, client});
      }
      went({owner, h1, client});
      return admit(h1, key);
    }
    if (has(h2, key)) {
      touch(h2, key);
      went({h2, client});
      if (h1 == client || has(h1, key)) return;
      hop(h2, h1);
      return admit(h1, key);
    }
    if (has(h1, key)) {
      touch(h1, key);
      went({h1, h2, client});
      return admit(h2, key);
    }
    went({owner, h1, h2, client});
    admit(h1, key);
    admit(h2, key);
  }

  void went(const std::vector<SeedNode>& path) {
    ++serves_[path.front()];
    ++hop_pulls_;
    client_hops_ += static_cast<double>(path.size()) - 1;
    for (std::size_t i = 1; i < path.size(); ++i) hop(path[i - 1], path[i]);
  }
  void hop(SeedNode from, SeedNode to) {
    constexpr double kWeights[] = {0, 1, 4, 8};
    const auto tier = topology_.tier(from, to);
    hops_ += 1;
    weights_ += kWeights[tier];
    cross_rack_ += tier >= 2 ? 1 : 0;
    cross_row_ += tier == 3 ? 1 : 0;
  }

  SeedFigures<double> figures() {
    SeedFigures<double> out{};
    double copies = 0;
    double hot = 0;
    for (SeedNode node = 0; node < shape_.nodes; ++node) {
      for (std::uint32_t key = 0; key < placement_.keys(); ++key) {
        if (!has(node, key)) continue;
        copies += 1;
        hot += key < options_.stripes ? 1 : 0;
      }
    }
    std::ranges::sort(serves_);
    const double mean = hop_pulls_ / shape_.nodes;
    double total = 0;
    for (std::uint32_t i = 0; i < options_.files; ++i) total += std::pow(1.0 + i, -options_.alpha);
    out.at(SeedMetric::kClientHops) = client_hops_ / hop_pulls_;
    out.at(SeedMetric::kSystemHops) = hops_ / hop_pulls_;
    out.at(SeedMetric::kCongestionFactor) = weights_ / hops_;
    out.at(SeedMetric::kCrossRackShare) = cross_rack_ / hops_;
    out.at(SeedMetric::kCrossRowShare) = cross_row_ / hops_;
    out.at(SeedMetric::kCopiesPerStripe) = copies / placement_.keys();
    out.at(SeedMetric::kCopiesHot) = hot / options_.stripes;
    out.at(SeedMetric::kHotFileShare) = std::min(1.0, hot * total / (options_.requests_per_node * shape_.nodes));
    out.at(SeedMetric::kServeSkewP99) = quantile(serves_, 0.99) / mean;
    out.at(SeedMetric::kServeSkewMax) = serves_.back() / mean;
    out.at(SeedMetric::kEvictionsPerPull) = evictions_ / pulls_;
    return out;
  }

  const SeedOptions& options_;
  const SeedShape& shape_;
  std::uint64_t seed_;
  bool locality_;
  SeedTopology topology_;
  SeedPlacement placement_;
  std::vector<std::set<std::uint32_t>> pinned_;
  std::vector<std::list<std::uint32_t>> lru_;
  std::vector<double> serves_;
  double pulls_ = 0, hop_pulls_ = 0, client_hops_ = 0, hops_ = 0, weights_ = 0, cross_rack_ = 0, cross_row_ = 0;
  double evictions_ = 0;
};

}  // namespace

SeedFigures<double> literal_seed_arm(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed,
                                     bool locality) {
  return Literal(options, shape, seed, locality).run();
}

}  // namespace oxbow::p2p::sim

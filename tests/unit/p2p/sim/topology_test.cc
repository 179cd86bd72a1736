#include "p2p/sim/topology.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "p2p/sim/topology_bursts.h"
#include "p2p/sim/topology_failures.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::array kKinds = kTopologyKinds;

// A key has as many different holders as it has copies.
TEST(TopologyPlacement, DistinctHolders) {
  for (const auto kind : kKinds) {
    SCOPED_TRACE(to_string(kind));
    const TopologyPlacement placement(kind, 30, 3, 500, 1);
    const bool one = kind == TopologyKind::kSingle || kind == TopologyKind::kSharded;
    EXPECT_EQ(placement.copies(), one ? 1U : 3U);
    for (std::uint32_t key = 0; key < 500; ++key) {
      const auto holders = placement.holders(key);
      EXPECT_EQ(std::set(holders.begin(), holders.end()).size(), placement.copies());
      for (const auto server : holders) EXPECT_LT(server, placement.servers());
    }
  }
}

TEST(TopologyTest, PopularityFallsWithTheRank) {
  const Popularity popularity(100, 1);
  EXPECT_NEAR(popularity.share(0) / popularity.share(9), 10, 1e-6);
  Random random(1);
  std::vector<int> drawn(100);
  for (int i = 0; i < 20'000; ++i) ++drawn[popularity.draw(random)];
  EXPECT_NEAR(drawn[0] / 20'000.0, popularity.share(0), 0.01);
}

// Every request is answered once: by a server or by the client's own copy. No server does more in a step than it can.
TEST(TopologyBursts, WorkIsConserved) {
  TopologyOptions options;
  options.keys = 200;
  for (const auto kind : kKinds) {
    SCOPED_TRACE(to_string(kind));
    const bool ring = kind == TopologyKind::kRing || kind == TopologyKind::kRingReaders;
    const TopologyPlacement placement(kind, ring ? 500 : 12, 3, options.keys, 1);
    const Popularity popularity(options.keys, 1);
    TopologyBursts bursts(kind, placement, popularity, options, 500, 1);
    for (int i = 0; i < 3; ++i) bursts.burst();
    const auto& counts = bursts.counts();
    EXPECT_EQ(counts.requests, 1'500U);
    EXPECT_EQ(std::accumulate(counts.served.begin(), counts.served.end(), std::uint64_t{0}) + counts.own, 1'500U);
    EXPECT_EQ(counts.hops.size(), 1'500U);
    EXPECT_LE(counts.fills, std::uint64_t{options.keys} * placement.copies());
    for (const auto served : counts.served) EXPECT_LE(served, counts.steps * options.work);
  }
}

// What fails: everything of a single server, a shard of a sharded store; with fewer failures than copies nothing.
TEST(TopologyFailures, OfAShard) {
  const Popularity popularity(3'000, 1);
  const auto lost = [&](TopologyKind kind, std::uint32_t killed) {
    Random random(1);
    const TopologyPlacement placement(kind, 30, 3, 3'000, 1);
    return lose_of_a_shard(placement, popularity, 3'000, killed, 50, random);
  };
  EXPECT_EQ(lost(TopologyKind::kSingle, 1).keys, 1);
  EXPECT_NEAR(lost(TopologyKind::kSharded, 1).keys, 1.0 / 30, 0.005);
  for (const auto kind : {TopologyKind::kReplicated, TopologyKind::kRing}) {
    for (const std::uint32_t killed : {1U, 2U}) {
      EXPECT_EQ(lost(kind, killed).keys, 0);
      EXPECT_GT(lost(kind, killed).dead_tries, 0);
    }
  }
  EXPECT_NEAR(lost(TopologyKind::kReplicated, 3).keys, 0.1, 0.01);
  EXPECT_LT(lost(TopologyKind::kRing, 3).keys, 0.02);
  EXPECT_GT(lost(TopologyKind::kRing, 3).keys, 0);
}

TEST(TopologyFailures, HolderSets) {
  EXPECT_EQ(holder_sets(TopologyPlacement(TopologyKind::kReplicated, 30, 3, 3'000, 1), 3'000), 10U);
  EXPECT_GT(holder_sets(TopologyPlacement(TopologyKind::kRing, 30, 3, 3'000, 1), 3'000), 100U);
  EXPECT_DOUBLE_EQ(any_loss(10, 30, 3), 10 / 4060.0);
}

struct Expected {
  TopologyKind kind;
  double messages, hops, steps, work_max, skew_max;
};

// Fixed seeds give these numbers on every machine, with any number of threads.
TEST(Topology, Exact) {
  const std::vector<Expected> expected{
      {TopologyKind::kSingle, 2, 2, 38, 300, 1},
      {TopologyKind::kSharded, 2, 2, 10.333333333333334, 76.5, 3.06},
      {TopologyKind::kReplicated, 4.828888888888889, 4.828888888888889, 5.333333333333334, 37.33333333333333,
       1.4466666666666668},
      {TopologyKind::kRing, 2.3600000000000003, 2.3600000000000003, 2.333333333333333, 15.5, 15.508726215004241},
      {TopologyKind::kRingReaders, 3.9766666666666666, 2.0677777777777777, 1.3333333333333333, 7.333333333333333,
       5.412727410716221},
  };
  TopologyOptions options;
  options.clients = {300};
  options.failing_servers = {12};
  options.keys = 500;
  options.bursts = 3;
  options.trials = 10;
  options.seeds = 2;
  for (const unsigned threads : {1U, 3U}) {
    options.threads = threads;
    Progress progress;
    const auto result = run_topology(options, progress);
    ASSERT_TRUE(result);
    ASSERT_EQ(result->loads.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto& one = result->loads[i];
      SCOPED_TRACE(to_string(one.kind));
      EXPECT_EQ(one.kind, expected[i].kind);
      EXPECT_DOUBLE_EQ(one.messages.mean, expected[i].messages);
      EXPECT_DOUBLE_EQ(one.hops.mean, expected[i].hops);
      EXPECT_DOUBLE_EQ(one.steps.mean, expected[i].steps);
      EXPECT_DOUBLE_EQ(one.work_max.mean, expected[i].work_max);
      EXPECT_DOUBLE_EQ(one.skew_max.mean, expected[i].skew_max);
    }
    EXPECT_EQ(result->failures.size(), 12U);
    EXPECT_EQ(topology_report(options, *result).sections.size(), 2U);
  }
}

TEST(Topology, RefusesNonsense) {
  Progress progress;
  const auto refused = [&](auto change) {
    TopologyOptions options;
    change(options);
    const auto result = run_topology(options, progress);
    return !result && result.error().code() == Errc::kInvalid;
  };
  EXPECT_TRUE(refused([](auto& options) { options.clients = {0}; }));
  EXPECT_TRUE(refused([](auto& options) { options.servers = 10; }));
  EXPECT_TRUE(refused([](auto& options) { options.failing_servers = {10}; }));
  EXPECT_TRUE(refused([](auto& options) { options.work = 0; }));
}

}  // namespace
}  // namespace oxbow::p2p::sim

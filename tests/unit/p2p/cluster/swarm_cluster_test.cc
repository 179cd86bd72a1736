// Whole clusters in simulated time: what a rollout costs upstream and how long it takes, healthy and with faults.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "cluster.h"
#include "p2p/swarm.h"

namespace oxbow::p2p::test {
namespace {

constexpr std::uint64_t kMiB = 1024ULL * 1024;
constexpr double kLimitMs = 120'000;

std::unique_ptr<Strategy> swarm(StrategyContext context) {
  return make_strategy(StrategyKind::kSwarm, std::move(context));
}
std::unique_ptr<Strategy> ring(StrategyContext context) {
  return make_strategy(StrategyKind::kRing, std::move(context));
}

ClusterOptions of(std::uint32_t nodes, std::uint64_t mib = 64) {
  ClusterOptions options;
  options.nodes = nodes;
  options.blob_bytes = mib * kMiB;
  options.step_ms = 4;
  return options;
}

/// Every node complete, every stripe delivered once, none assigned twice but for hedges, upstream within the bound.
void expect_good(Cluster& cluster, double upstream_share, double limit_ms = kLimitMs) {
  EXPECT_TRUE(cluster.run(limit_ms)) << "somebody is not complete";
  EXPECT_LE(cluster.upstream_share(), upstream_share);
  for (const auto& violation : cluster.violations()) ADD_FAILURE() << violation;
}

double over_bound(const Cluster& cluster, const std::set<std::uint32_t>& except = {}) {
  return cluster.slowest_ms(except) / cluster.lower_bound_ms();
}

/// Of those that hold leases one that does not coordinate too; where there is none, whoever sends most.
int lease_holder_or_sender(const Cluster& cluster) {
  const int node = cluster.lease_holder(static_cast<int>(cluster.coordinator()));
  return node < 0 ? cluster.busiest_sender() : node;
}

class FlashCrowd : public ::testing::TestWithParam<std::uint32_t> {};

// All nodes at once: every byte leaves upstream once, and all are served near the lower bound.
TEST_P(FlashCrowd, OnceFromUpstreamNearTheBound) {
  Cluster cluster(of(GetParam(), GetParam() <= 16 ? 256 : 64), swarm);
  cluster.start_all();
  expect_good(cluster, 1.0001);
  // What the benchmark in docs/decisions/0007-swarm.md shows at 256 MiB, with room; in the shorter run of 50 nodes the
  // start weighs more (measured 1.42 to 1.52 over four seeds).
  EXPECT_LE(over_bound(cluster), GetParam() <= 16 ? 1.30 : 1.75);
  EXPECT_LE(cluster.moved_share(), 1.05);
}
INSTANTIATE_TEST_SUITE_P(Sizes, FlashCrowd, ::testing::Values(3U, 8U, 16U, 50U));

// Few nodes at a registry that throttles each connection: they take more leases each.
TEST(SwarmCluster, FewNodesFillAThrottledUpstream) {
  for (const std::uint32_t nodes : {2U, 3U}) {
    auto options = of(nodes, 128);
    options.upstream_connection = 5e6;
    Cluster cluster(options, swarm);
    cluster.start_all();
    expect_good(cluster, 1.0001);
    EXPECT_LE(over_bound(cluster), 1.30);
  }
}

// Nodes that start one after the other take from those before them what these have, and fetch only what is new.
TEST(SwarmCluster, Staggered) {
  Cluster cluster(of(8), swarm);
  cluster.start_all(0, 300);
  expect_good(cluster, 1.0001);
}

// A node that comes when another has it all costs upstream nothing.
TEST(SwarmCluster, OneLaterNodeTakesAllFromAPeer) {
  Cluster cluster(of(4, 64), swarm);
  cluster.give_all(2);
  cluster.start(0, 0);
  expect_good(cluster, 0);
  EXPECT_LE(cluster.finished_ms(0), 1.2 * 64 * kMiB / 25e3);
}

// The one that has all others' attention dies in mid-stripe. (Measured 1.33 to 1.98 × over twelve seeds, and 1.69
// to 1.86 when it is the coordinator, below.)
TEST(SwarmCluster, ASenderIsKilledInMidStripe) {
  for (const std::uint64_t seed : {1U, 2U}) {
    auto options = of(8);
    options.seed = seed;
    Cluster cluster(options, swarm);
    cluster.start_all();
    cluster.at(1'000, [&] { cluster.kill(static_cast<std::uint32_t>(cluster.busiest_sender())); });
    expect_good(cluster, 1.10);
    EXPECT_LE(over_bound(cluster), 2.1);
  }
}

// The only holder of everything dies while others take from it: what is missing comes from upstream, once.
TEST(SwarmCluster, TheOnlyHolderIsKilled) {
  Cluster cluster(of(6, 128), swarm);
  cluster.give_all(1);
  for (const std::uint32_t node : {0U, 2U, 3U, 4U, 5U}) cluster.start(node, 0);
  cluster.at(2'000, [&] { cluster.kill(1); });
  expect_good(cluster, 1.0);
}

// The coordinator knows one holder of everything, and that one has lost it: the others have to tell, or no lease would
// be given until the coordinator forgets the holder.
TEST(SwarmCluster, TheOnlyHolderIsEmpty) {
  Cluster cluster(of(6, 64), swarm);
  cluster.give_all(1);
  cluster.empty(1);
  for (const std::uint32_t node : {0U, 2U, 3U}) cluster.start(node, 0);
  expect_good(cluster, 1.0001, 8'000);
}

// The coordinator dies: its successor is rebuilt from announcements, and leases that others hold are claimed there.
TEST(SwarmCluster, TheCoordinatorIsKilled) {
  for (const std::uint64_t seed : {1U, 2U}) {
    auto options = of(8);
    options.seed = seed;
    Cluster cluster(options, swarm);
    cluster.start_all();
    cluster.at(1'000, [&] { cluster.kill(cluster.coordinator()); });
    expect_good(cluster, 1.10);
    EXPECT_LE(over_bound(cluster), 2.0);
  }
}

// The coordinator is not among those who want the blob, and is gone from the start.
TEST(SwarmCluster, TheCoordinatorWasNeverThere) {
  Cluster cluster(of(6, 64), swarm);
  const auto dead = cluster.coordinator();
  cluster.hang(dead);
  for (std::uint32_t node = 0; node < 6; ++node) {
    if (node != dead) cluster.start(node, node * 3.0);
  }
  expect_good(cluster, 1.10);
}

// A registry that thinks for seconds before each first byte: nobody takes for dead who only waits for it.
TEST(SwarmCluster, ARegistryThatThinksLong) {
  for (const double seconds : {3, 8}) {
    auto options = of(8);
    options.upstream_latency_ms = 1'000 * seconds;
    Cluster cluster(options, swarm);
    cluster.start_all();
    expect_good(cluster, 1.0001);
  }
}

// A lease holder's fetches from upstream stand still: others get its spans, and it gets them from the others.
TEST(SwarmCluster, ALeaseHolderFallsSilent) {
  Cluster cluster(of(8), swarm);
  cluster.start_all();
  cluster.at(1'000, [&] { cluster.stall_upstream(static_cast<std::uint32_t>(cluster.lease_holder())); });
  expect_good(cluster, 1.10);
}

// The same whatever it is in the midst of: requests under way, or those that it gets a lease for next. A lease is good
// for two seconds without progress. (Measured 0 to 2.8 s.)
TEST(SwarmCluster, AStalledNodeDoesNotWaitForItself) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto options = of(16);
    options.seed = seed;
    const auto pull = [&](bool stalls) {
      Cluster cluster(options, swarm);
      cluster.start_all();
      if (stalls) {
        cluster.at(1'000, [&] {
          const int node = lease_holder_or_sender(cluster);
          ASSERT_GE(node, 0);
          cluster.stall_upstream(static_cast<std::uint32_t>(node));
        });
      }
      expect_good(cluster, stalls ? 1.10 : 1.0001);
      return cluster.slowest_ms();
    };
    EXPECT_LE(pull(true) - pull(false), 3'500) << seed;
  }
}

// One node with a tenth of the bandwidth, both ways, does not hold the others up.
TEST(SwarmCluster, OneNodeTenTimesSlower) {
  for (const std::uint64_t seed : {1U, 2U}) {
    auto options = of(8);
    options.seed = seed;
    Cluster cluster(options, swarm);
    cluster.slow(1, 10);
    cluster.start_all();
    expect_good(cluster, 1.05, 300'000);
    EXPECT_LE(over_bound(cluster, {1}), 1.4);
    EXPECT_LE(cluster.moved_share(), 1.05);
  }
}

// All that could coordinate the blob hang, and a slow holder of a part of it still gives something: nobody has a lease,
// and what only upstream has each node fetches within 5 % of the blob, as long as anything comes. In the end all have
// it.
TEST(SwarmCluster, WithoutACoordinatorEachNodeHasABudget) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    auto options = of(8);
    options.seed = seed;
    Cluster cluster(options, swarm);
    std::vector<std::uint32_t> others;
    const auto ranked = cluster.ranked();
    for (std::uint32_t node = 0; node < 8; ++node) {
      if (std::ranges::find(ranked, node) == ranked.end()) others.push_back(node);
    }
    const auto holder = others.back();
    others.pop_back();
    HaveMap part(128, true);
    for (std::uint32_t stripe = 17; stripe < 128; stripe += 2) part.clear(stripe);
    cluster.give(holder, part);
    cluster.slow(holder, 10);
    for (const auto node : others) cluster.start(node, node);
    cluster.at(300, [&] {
      EXPECT_EQ(cluster.upstream_share(), 0);
      for (const auto node : ranked) cluster.hang(node, false);
    });
    std::uint32_t given = 0;
    cluster.at(10'000, [&] { given = cluster.stripes_given(holder); });
    cluster.run(13'000);
    EXPECT_GT(cluster.stripes_given(holder), given) << "nothing came any more";
    for (const auto node : others) {
      EXPECT_LT(cluster.stripes_of(node), 128U);
      EXPECT_LE(cluster.upstream_share(node), 0.05) << node;
      EXPECT_GE(cluster.upstream_share(node), 0.04) << node << " had more to fetch than it did";
    }
    EXPECT_TRUE(cluster.run(kLimitMs));
  }
}

// A node that accepts and never answers, in the midst of the pull: with what it leases, and as coordinator.
TEST(SwarmCluster, ANodeHangs) {
  for (const bool coordinator : {false, true}) {
    Cluster cluster(of(8), swarm);
    std::uint32_t hung = 0;
    cluster.start_all();
    cluster.at(1'000, [&] {
      hung = coordinator ? cluster.coordinator() : static_cast<std::uint32_t>(cluster.lease_holder());
      cluster.hang(hung);
    });
    expect_good(cluster, 1.10);
    EXPECT_LE(over_bound(cluster, {hung}), 2.6);
    EXPECT_LE(cluster.moved_share(), 1.05);
  }
}

// What a node that dies in mid-pull costs the others, over the same run without the fault: whatever it was, a second at
// most once its connections break, and 1.5 s when it only falls silent (measured: docs/decisions/0007-swarm.md).
TEST(SwarmCluster, ADeadNodeCostsASecondOnce) {
  enum class Who : std::uint8_t { kLeaseHolder, kSender, kCoordinator };
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    auto options = of(8);
    options.seed = seed;
    Cluster healthy(options, swarm);
    healthy.start_all();
    expect_good(healthy, 1.0001);
    for (const auto who : {Who::kLeaseHolder, Who::kSender, Who::kCoordinator}) {
      for (const bool hangs : {false, true}) {
        Cluster cluster(options, swarm);
        cluster.start_all();
        std::uint32_t dead = 0;
        cluster.at(1'000, [&] {
          const int node = who == Who::kSender ? cluster.busiest_sender() : lease_holder_or_sender(cluster);
          dead = who == Who::kCoordinator ? cluster.coordinator() : static_cast<std::uint32_t>(node);
          hangs ? cluster.hang(dead) : cluster.kill(dead);
        });
        expect_good(cluster, 1.10);
        EXPECT_LE(cluster.slowest_ms({dead}) - healthy.slowest_ms(), hangs ? 1'500 : 1'000)
            << "seed " << seed << ", " << static_cast<int>(who) << (hangs ? " hung" : " killed");
      }
    }
  }
}

// A holder that hangs before anybody asks costs the pull a second at most, also when it is tried again. (Measured 280
// to 992 ms. One that is the coordinator too costs the 2.5 s until its successor is asked.)
TEST(SwarmCluster, AHungHolderCostsASecondOnce) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto options = of(5, 64);
    options.seed = seed;
    const auto pull = [&](bool hangs) {
      Cluster cluster(options, swarm);
      const std::uint32_t hung = cluster.coordinator() == 2 ? 1 : 2;
      cluster.give_all(hung);
      cluster.give_all(3);
      if (hangs) cluster.hang(hung);
      cluster.start(0, 0);
      expect_good(cluster, 0.0);
      return cluster.finished_ms(0);
    };
    EXPECT_LE(pull(true) - pull(false), 1'000) << seed;
  }
}

// Two halves that do not hear each other: each gets on alone, and what is fetched twice is what only the other half had
// or got. After healing they are one swarm again.
TEST(SwarmCluster, PartitionAndHeal) {
  Cluster cluster(of(8), swarm);
  cluster.start_all();
  cluster.at(700, [&] {
    for (std::uint32_t node = 0; node < 5; ++node) cluster.set_group(node, 1);
  });
  cluster.at(2'500, [&] {
    for (std::uint32_t node = 0; node < 5; ++node) cluster.set_group(node, 0);
  });
  expect_good(cluster, 2.0);
}

// Everybody else goes away in mid-pull: the rest is a plain pull-through.
TEST(SwarmCluster, EverybodyElseIsGone) {
  for (const bool hang : {false, true}) {
    Cluster cluster(of(5, 128), swarm);
    cluster.start_all();
    cluster.at(1'500, [&] {
      for (std::uint32_t node = 1; node < 5; ++node) hang ? cluster.hang(node) : cluster.kill(node);
    });
    expect_good(cluster, 1.10, 60'000);
  }
}

// One node alone in its cluster.
TEST(SwarmCluster, ANodeAlone) {
  Cluster cluster(of(1, 64), swarm);
  cluster.start_all();
  expect_good(cluster, 1.0001);
  EXPECT_LE(cluster.finished_ms(0), 1.1 * 64 * kMiB / 25e3);
}

// Upstream is down and two nodes hold the blob between them: everybody who may not fetch, or cannot, gets it anyway.
TEST(SwarmCluster, UpstreamDownWithContentInTheCluster) {
  Cluster cluster(of(6, 64), swarm);
  cluster.give_all(4);
  cluster.upstream_down(true);
  for (const std::uint32_t node : {0U, 1U, 2U}) cluster.start(node, 0);
  expect_good(cluster, 0.0);
}

// Nodes whose clients may not fetch from upstream never do, and are served by those that may.
TEST(SwarmCluster, WithoutTheRightToFetch) {
  Cluster cluster(of(6, 64), swarm);
  for (std::uint32_t node = 0; node < 6; ++node) cluster.start(node, node, node == 3);
  expect_good(cluster, 1.0001);
}

// Upstream comes and goes: nobody gives up; only stripes that were cut off in the middle are fetched again.
TEST(SwarmCluster, UpstreamPauses) {
  Cluster cluster(of(6, 64), swarm);
  cluster.start_all();
  cluster.at(800, [&] { cluster.upstream_down(true); });
  cluster.at(3'000, [&] { cluster.upstream_down(false); });
  expect_good(cluster, 1.05);
}

// In the midst of a rollout a node that nobody has vetted joins, one leaves, one drains and one is suspended by all.
// All that live are complete, also those two; the suspended one gives nothing from then on, and the draining one only
// what was under way.
TEST(SwarmCluster, MembersComeAndGo) {
  for (const std::uint64_t seed : {1U, 2U}) {
    auto options = of(8);
    options.seed = seed;
    Cluster cluster(options, swarm);
    constexpr std::uint32_t kNewcomer = 7;
    cluster.set_vetted(kNewcomer, false);
    cluster.set_member(kNewcomer, false);
    std::vector<std::uint32_t> others;
    for (std::uint32_t node = 0; node < kNewcomer; ++node) {
      cluster.start(node, node);
      if (node != 0 && node != cluster.coordinator()) others.push_back(node);
    }
    const auto leaves = others[0];
    const auto drains = others[1];
    const auto suspended = others[2];
    cluster.start(kNewcomer, 700);
    cluster.at(700, [&] { cluster.set_member(kNewcomer, true); });
    cluster.at(900, [&] { cluster.set_member(leaves, false); });
    cluster.at(1'100, [&] {
      cluster.kill(leaves);
      cluster.set_state(drains, PeerState::kDraining);
    });
    cluster.at(1'300, [&] { cluster.set_state(suspended, PeerState::kSuspended); });
    std::optional<std::uint32_t> given_by_suspended;
    std::optional<std::uint32_t> given_by_draining;
    cluster.at(1'350, [&] { given_by_suspended = cluster.stripes_given(suspended); });
    cluster.at(2'100, [&] { given_by_draining = cluster.stripes_given(drains); });
    expect_good(cluster, 1.50);
    EXPECT_LT(cluster.stripes_of(leaves), 128U) << "it left too late for this test";
    for (std::uint32_t node = 0; node < 8; ++node) {
      if (node != leaves) EXPECT_EQ(cluster.stripes_of(node), 128U) << node;
    }
    EXPECT_EQ(given_by_suspended, cluster.stripes_given(suspended));
    EXPECT_EQ(given_by_draining, cluster.stripes_given(drains));
  }
}

// `ring`: everybody takes from the ranked holders alone, and they share the fetching. Where all may give, all do.
TEST(SwarmCluster, RingTakesFromRankedHolders) {
  for (const bool restricted : {true, false}) {
    Cluster cluster(of(6, 64), restricted ? ring : swarm);
    cluster.start_all();
    expect_good(cluster, 1.10);
    const auto ranked = cluster.ranked();
    ASSERT_EQ(ranked.size(), 3U);
    std::uint32_t from_ranked = 0;
    std::uint32_t from_others = 0;
    for (std::uint32_t node = 0; node < 6; ++node)
      (std::ranges::find(ranked, node) != ranked.end() ? from_ranked : from_others) += cluster.stripes_given(node);
    EXPECT_GT(from_ranked, 0U);
    if (restricted)
      EXPECT_EQ(from_others, 0U);
    else
      EXPECT_GT(from_others, 0U);
  }
}

// The same options give the same run, to the byte and the millisecond.
TEST(SwarmCluster, IsDeterministic) {
  const auto run = [] {
    Cluster cluster(of(8, 64), swarm);
    cluster.start_all();
    cluster.at(1'000, [&] { cluster.kill(2); });
    cluster.run(kLimitMs);
    return std::pair(cluster.slowest_ms(), cluster.upstream_share());
  };
  EXPECT_EQ(run(), run());
}

}  // namespace
}  // namespace oxbow::p2p::test

// Crowds: exact results at small sizes, invariants, and the bandwidth model against exact max-min sharing.
#include "p2p/sim/crowd.h"

#include <gtest/gtest.h>

#include <numeric>

#include "p2p/sim/crowd/event_queue.h"
#include "p2p/sim/crowd/max_min.h"
#include "p2p/sim/crowd_cases.h"
#include "p2p/sim/crowd_plots.h"

namespace oxbow::p2p::sim {
namespace {

CrowdOptions of(std::uint32_t nodes, std::uint64_t mib = 256) {
  CrowdOptions options;
  options.network.nodes = nodes;
  options.blob_bytes = mib << 20U;
  options.check = nodes <= 50;
  return options;
}

TEST(EventQueue, GivesEventsInOrderOfTimeAndThenOfPushing) {
  EventQueue queue;
  Random random(1);
  for (std::uint32_t i = 0; i < 2'000; ++i) queue.push(random.below(60'000'000), CrowdEvent::Kind::kTick, i);
  Micros last = 0;
  std::uint64_t order = 0;
  for (std::uint32_t popped = 0; !queue.empty(); ++popped) {
    const auto event = queue.pop();
    ASSERT_TRUE(event.at > last || (event.at == last && (popped == 0 || event.order > order)));
    last = event.at;
    order = event.order;
    // What an event brings about may come at the same moment, or far beyond the horizon.
    if (popped < 1'000) queue.push(last + (popped % 2 == 0 ? 0 : 40'000'000), CrowdEvent::Kind::kTick, popped);
  }
  EXPECT_EQ(queue.pushed(), 3'000U);
}

TEST(MaxMin, FillsTheNarrowestFirst) {
  const std::vector<double> capacities = {10, 4, 100};
  const std::vector<MaxMinFlow> flows = {{{0, 2}}, {{0, 1}}, {{1, 2}}};
  const auto rates = max_min_shares(capacities, flows);
  EXPECT_DOUBLE_EQ(rates[1], 2);
  EXPECT_DOUBLE_EQ(rates[2], 2);
  EXPECT_DOUBLE_EQ(rates[0], 8);
}

/// Random flows among 1,000 nodes that come and go; then the two models side by side.
struct Compared {
  double total = 0;    ///< of the rates, over exact max-min
  double typical = 0;  ///< mean of |rate - exact| over the mean exact rate
};
Compared compare(bool redistribute, std::uint64_t seed) {
  constexpr std::uint32_t kNodes = 1'000;
  constexpr std::uint32_t kFlows = 8'000;
  NetworkOptions options;
  options.nodes = kNodes;
  options.redistribute = redistribute;
  EventQueue queue;
  Network network(options, queue);
  Random random(seed);
  std::vector<FlowId> live;
  Micros now = 0;
  const auto start = [&] {
    const auto from = random.below(kNodes);
    const auto id = network.add(from, (from + 1 + random.below(kNodes - 1)) % kNodes);
    network.begin(now, id, std::int64_t{1} << 40U);
    live.push_back(id);
  };
  for (std::uint32_t i = 0; i < kFlows; ++i) start();
  for (std::uint32_t i = 0; i < 4 * kFlows; ++i) {
    now += 10;
    const auto place = random.below(static_cast<std::uint32_t>(live.size()));
    network.end(now, live[place]);
    live[place] = live.back();
    live.pop_back();
    start();
  }
  network.check();
  std::vector<double> capacities(2 * kNodes, static_cast<double>(options.up));
  std::vector<MaxMinFlow> flows;
  for (const auto id : live) flows.push_back({{network.flow(id).from, kNodes + network.flow(id).to}});
  const auto exact = max_min_shares(capacities, flows);
  double sum = 0;
  double apart = 0;
  for (std::size_t i = 0; i < live.size(); ++i) {
    const auto rate = static_cast<double>(network.flow(live[i]).rate);
    sum += rate;
    apart += std::abs(rate - exact[i]);
  }
  const auto all = std::accumulate(exact.begin(), exact.end(), 0.0);
  return {sum / all, apart / all};
}

// The model's name is "equal shares with redistribution": as much moves as with exact max-min sharing, and a flow's
// rate is near the exact one. Without redistribution a sixth of the links' capacity would lie idle.
TEST(Network, AgreesWithExactMaxMinAtAThousandNodes) {
  const auto model = compare(true, 7);
  EXPECT_GE(model.total, 0.97);
  EXPECT_LE(model.total, 1.03);
  EXPECT_LE(model.typical, 0.12);
  const auto plain = compare(false, 7);
  EXPECT_LE(plain.total, 0.90);
}

TEST(Network, SharedLinksAreNeverAboveTheirCapacityAndFill) {
  NetworkOptions options;
  options.nodes = 128;
  options.rack_oversubscription = 4;
  EventQueue queue;
  Network network(options, queue);
  Micros now = 0;
  for (std::uint32_t from = 0; from < 32; ++from) {
    for (std::uint32_t i = 0; i < 4; ++i)
      network.begin(now, network.add(from, 32 + (from * 4 + i) % 96), std::int64_t{1} << 40U);
  }
  for (int round = 0; round < 20; ++round) {
    network.check();
    now = network.share_links(now);
  }
  Rate out = 0;
  for (std::uint32_t from = 0; from < 32; ++from) {
    for (const auto id : network.uploads(from)) out += network.flow(id).rate;
  }
  EXPECT_LE(out, 32 * options.up / 4);
  EXPECT_GE(out, 32 * options.up / 4 * 98 / 100);
}

// Every byte leaves upstream once, every wanted stripe comes once, near the bound.
TEST(Crowd, FlashCrowd) {
  const auto result = run_crowd(of(64));
  EXPECT_EQ(result.completed, 64U);
  EXPECT_DOUBLE_EQ(result.upstream, 1);
  EXPECT_LE(result.moved, 1.01);
  EXPECT_LE(result.p99, 1.30);
}

// Leases of any length bring every byte from upstream once: spans of a stripe, of a word of a map, and one longer than
// what is left of the blob.
TEST(Crowd, LeasesOfAnyLength) {
  for (const auto stripes : {1U, 2U, 16U, 64U}) {
    auto options = of(24, 100);
    options.swarm.span_stripes = options.coordinator.span_stripes = stripes;
    const auto result = run_crowd(options);
    EXPECT_EQ(result.completed, 24U) << stripes;
    EXPECT_DOUBLE_EQ(result.upstream, 1) << stripes;
  }
}

// Rivals and topologies complete, and cost upstream what their rules cost.
TEST(Crowd, Rivals) {
  const auto upstream = [](CrowdPolicy policy) {
    auto options = of(40, 64);
    options.policy = policy;
    const auto result = run_crowd(options);
    EXPECT_EQ(result.completed, 40U) << to_string(policy);
    return result.upstream;
  };
  EXPECT_DOUBLE_EQ(upstream(CrowdPolicy::kTree), 1);
  EXPECT_DOUBLE_EQ(upstream(CrowdPolicy::kHierarchy), 1);
  EXPECT_DOUBLE_EQ(upstream(CrowdPolicy::kDragonfly), 1);
  EXPECT_DOUBLE_EQ(upstream(CrowdPolicy::kGantry), 8);
  EXPECT_DOUBLE_EQ(upstream(CrowdPolicy::kSpegel), 40);
  EXPECT_LE(upstream(CrowdPolicy::kKraken), 10);
}

// In a tree those who do not want the blob carry it.
TEST(Crowd, TreesMoveMoreThanIsNeeded) {
  auto options = of(100, 64);
  options.demand = 0.1;
  options.policy = CrowdPolicy::kTree;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 10U);
  EXPECT_GE(result.moved, 1.3);
}

// Requests go along paths: each byte comes to each node once, whoever carried it, and leaves upstream once.
TEST(Crowd, FingersPassStripesOn) {
  auto options = of(40, 64);
  options.policy = CrowdPolicy::kFingers;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 40U);
  EXPECT_DOUBLE_EQ(result.upstream, 1);
  EXPECT_LE(result.moved, 1.001);
  EXPECT_GE(result.p99, 1.3);
  EXPECT_LE(result.p99, 3);
}

TEST(Crowd, FingersStoreAndForwardTakeLonger) {
  auto options = of(40, 64);
  options.policy = CrowdPolicy::kFingers;
  const auto usual = run_crowd(options);
  options.cut_through = false;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 40U);
  EXPECT_GT(result.p99, usual.p99);
}

// Nodes on the way carry and keep what they do not want.
TEST(Crowd, FingersMoveMoreThanIsNeeded) {
  auto options = of(50, 64);
  options.demand = 0.1;
  options.policy = CrowdPolicy::kFingers;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.wanted, 5U);
  EXPECT_EQ(result.completed, 5U);
  EXPECT_DOUBLE_EQ(result.upstream, 1);
  EXPECT_GE(result.moved, 1.3);
}

// Peers fall silent on paths, as fingers, owners and holders of leases: the fallbacks end at upstream.
TEST(Crowd, FingersGoAroundTheDead) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    auto options = of(40, 64);
    options.policy = CrowdPolicy::kFingers;
    options.deaths_a_minute = 3;
    options.slow = 0.05;
    options.seed = seed;
    const auto result = run_crowd(options);
    EXPECT_GE(result.died, 2U);
    EXPECT_EQ(result.completed, result.wanted);
    EXPECT_LE(result.upstream, 2);
  }
}

// Holders that the coordinator names are asked before a lease is used; upstream gives next to nothing.
TEST(Crowd, FingersOfAWarmClusterAskHoldersFirst) {
  auto options = of(50, 64);
  options.warm = 0.1;
  options.policy = CrowdPolicy::kFingers;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 45U);
  EXPECT_LE(result.upstream, 0.1);
}

// A fixed seed's results, to the event: they change when a rule does, and then on purpose.
TEST(Crowd, FixedSeed) {
  const auto swarm = run_crowd(of(24, 64));
  EXPECT_EQ(swarm.events, 25'739U);
  EXPECT_EQ(swarm.announces, 256U);
  EXPECT_EQ(swarm.busy, 2'193U);
  EXPECT_EQ(swarm.news, 84'201U);
  auto options = of(24, 64);
  options.policy = CrowdPolicy::kTree;
  EXPECT_EQ(run_crowd(options).events, 18'715U);
  options.policy = CrowdPolicy::kFingers;
  const auto fingers = run_crowd(options);
  EXPECT_EQ(fingers.events, 37'922U);
  EXPECT_EQ(fingers.busy, 3'105U);
  EXPECT_EQ(fingers.announces, 72U);
  EXPECT_EQ(fingers.hedges, 1U);
}

TEST(Crowd, IsTheSameEveryTime) {
  auto options = of(40, 64);
  options.deaths_a_minute = 0.5;
  options.slow = 0.05;
  const auto a = run_crowd(options);
  const auto b = run_crowd(options);
  EXPECT_EQ(a.events, b.events);
  EXPECT_EQ(a.p99, b.p99);
  EXPECT_EQ(a.news, b.news);
  options.seed = 2;
  EXPECT_NE(run_crowd(options).events, a.events);
}

// What one node has, all others get without upstream.
TEST(Crowd, WarmClusterAsksUpstreamNothing) {
  auto options = of(50, 64);
  options.warm = 0.1;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 45U);
  EXPECT_EQ(result.upstream, 0);
}

// Those who do not want the blob carry nothing.
TEST(Crowd, PartialDemandMovesNothingElse) {
  auto options = of(200, 64);
  options.demand = 0.1;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.wanted, 20U);
  EXPECT_EQ(result.completed, 20U);
  EXPECT_LE(result.moved, 1.02);
}

TEST(Crowd, SingleIsAsManyTimesUpstreamAsNodes) {
  auto options = of(20, 64);
  options.policy = CrowdPolicy::kSingle;
  const auto result = run_crowd(options);
  EXPECT_EQ(result.completed, 20U);
  EXPECT_NEAR(result.upstream, 20, 1e-9);
}

// By the swept option where there is one, else by the number of nodes, else case by case.
TEST(Crowd, Plots) {
  const auto outcome = [](std::uint32_t nodes, CrowdPolicy policy, double value, double p99) {
    CrowdOutcome out{{"flash crowd", of(nodes)}, std::vector<CrowdResult>(2)};
    out.asked.options.policy = policy;
    out.asked.swept = value > 0 ? "span" : "";
    out.asked.value = value;
    out.by_seed[0].p99 = p99;
    out.by_seed[1].p99 = p99 + 2;
    return out;
  };
  const auto swarm = CrowdPolicy::kSwarm;
  const std::vector<CrowdOutcome> swept = {outcome(100, swarm, 2, 1), outcome(100, swarm, 8, 3)};
  auto plots = crowd_plots(swept);
  ASSERT_EQ(plots.size(), 2U);
  EXPECT_EQ(plots[0].title, "Completion over the bound, by span");
  EXPECT_TRUE(plots[0].log_x);
  ASSERT_EQ(plots[0].series.size(), 2U);
  EXPECT_EQ(plots[0].series[1].points, (std::vector<std::pair<double, double>>{{2, 2}, {8, 4}}));
  const std::vector<CrowdOutcome> sizes = {outcome(10, swarm, 0, 1), outcome(20, swarm, 0, 3),
                                           outcome(10, CrowdPolicy::kTree, 0, 5),
                                           outcome(20, CrowdPolicy::kTree, 0, 7)};
  plots = crowd_plots(sizes);
  ASSERT_EQ(plots.size(), 2U);
  ASSERT_EQ(plots[0].series.size(), 4U);
  EXPECT_EQ(plots[0].series[3].name, "tree: p99");
  EXPECT_EQ(plots[0].series[3].points, (std::vector<std::pair<double, double>>{{10, 6}, {20, 8}}));
  const std::vector<CrowdOutcome> rivals = {outcome(10, CrowdPolicy::kKraken, 0, 9), outcome(10, swarm, 0, 1)};
  plots = crowd_plots(rivals);
  ASSERT_EQ(plots.size(), 1U);
  EXPECT_EQ(plots[0].rows, (std::vector<std::string>{"swarm", "kraken"}));
  EXPECT_EQ(plots[0].series[1].points, (std::vector<std::pair<double, double>>{{2, 0}, {10, 1}}));
}

TEST(Crowd, OptionsHaveNames) {
  CrowdOptions options;
  for (const auto name : crowd_option_names()) EXPECT_TRUE(set_crowd_option(options, name, 1).has_value()) << name;
  EXPECT_EQ(options.swarm.probes, 1U);
  EXPECT_FALSE(set_crowd_option(options, "probes", 0).has_value());
  EXPECT_TRUE(set_crowd_option(options, "span", 16).has_value());
  EXPECT_EQ(options.swarm.span_stripes, options.coordinator.span_stripes);
  EXPECT_FALSE(set_crowd_option(options, "span", 12).has_value());
  EXPECT_FALSE(set_crowd_option(options, "span", 128).has_value());
  EXPECT_FALSE(set_crowd_option(options, "nonsense", 1).has_value());
  for (const auto name : crowd_scenarios()) EXPECT_TRUE(crowd_scenario(name, options).has_value()) << name;
  EXPECT_FALSE(crowd_scenario("nonsense", options).has_value());
}

}  // namespace
}  // namespace oxbow::p2p::sim

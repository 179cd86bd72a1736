#include "p2p/sim/churn.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "p2p/sim/churn_health.h"
#include "p2p/sim/churn_study.h"

namespace oxbow::p2p::sim {
namespace {

ChurnOptions small() {
  ChurnOptions options;
  options.nodes = 200;
  options.pulls = 1'000;
  options.blobs = 100;
  options.rate = 0.1;
  return options;
}

// Who dies leaves the views in time, and who comes enters them; ages differ by half of the mean.
TEST(ChurnWorldTest, ViewsFollowTheirAge) {
  auto options = small();
  options.scenario = ChurnScenario::kRack;
  options.stale_ms = 40'000;
  options.measured_ms = 100'000;
  Random random(1);
  ChurnWorld world(options, 1'000'000, 1'200'000, random);  // the rack dies at 1,100 s
  ASSERT_EQ(world.view_every(), 10'000);
  for (std::uint32_t age = 0; age < ChurnWorld::kAges; ++age)
    EXPECT_EQ(world.view(age, 1'105'000)->peers->peers().size(), 200U);
  EXPECT_EQ(world.view(0, 1'119'999)->peers->peers().size(), 200U);
  EXPECT_EQ(world.view(0, 1'120'000)->peers->peers().size(), 168U);
  EXPECT_EQ(world.view(3, 1'149'999)->peers->peers().size(), 200U);
  EXPECT_EQ(world.view(3, 1'150'000)->peers->peers().size(), 168U);
  EXPECT_EQ(world.view(3, 1'150'000), world.view(1, 1'130'000));
}

TEST(ChurnWorldTest, NumbersStayAsTheyAre) {
  const auto options = small();
  Random random(1);
  const ChurnWorld world(options, 0, 600'000, random);
  EXPECT_EQ(world.lives().size(), 400U);  // a tenth a minute, for ten
  for (const Ms now : {0, 123'456, 599'000}) {
    EXPECT_EQ(std::ranges::count_if(world.lives(), [&](const Life& life) { return life.exists(now); }), 200);
  }
}

// A node probes each of 200 others once in 15.6 s, and finds out; a request that is not answered tells at once when the
// peer was not heard of lately. Without memory it never knows.
TEST(ChurnHealthTest, SilentPeersAreFoundOut) {
  auto options = small();
  options.scenario = ChurnScenario::kRack;
  options.measured_ms = 100'000;
  Random random(1);
  const ChurnWorld world(options, 1'000'000, 1'200'000, random);
  const auto dead =
      static_cast<NodeId>(std::ranges::find_if(world.lives(), [](const Life& life) { return life.dies != kNever; }) -
                          world.lives().begin());
  const NodeId node = dead == 0 ? 199 : 0;
  ChurnHealth health(world, options.nodes, true);
  EXPECT_TRUE(health.eligible(node, dead, 1'100'100));
  EXPECT_FALSE(health.eligible(node, dead, 1'100'100 + 2 * 15'625 + 2'000));
  EXPECT_TRUE(health.eligible(node, dead == 0 ? 150 : 199, 1'150'000));
  ChurnHealth off(world, options.nodes, false);
  off.failed(node, dead, 1'110'000);
  EXPECT_TRUE(off.eligible(node, dead, 1'190'000));
}

TEST(ChurnTest, QuietClustersLoseNothing) {
  auto options = small();
  options.rate = 1e-6;
  for (const auto strategy : {ChurnStrategy::kSwarm, ChurnStrategy::kFingers}) {
    options.strategy = strategy;
    const auto result = run_churn(options, 1);
    EXPECT_EQ(result.pulls, 1'000U);
    EXPECT_EQ(result.hit_dead, 0U);
    EXPECT_EQ(result.late, 0U);
    EXPECT_EQ(result.upstream_needless, 0U);
    EXPECT_LE(result.delay_p99_ms, 10);
  }
}

TEST(ChurnTest, FixedSeed) {
  auto options = small();
  options.stale_ms = 30'000;
  options.reannounce = ReannounceRule::kSettled;
  const auto swarm = run_churn(options, 3);
  EXPECT_EQ(swarm.hit_dead, 116U);
  EXPECT_EQ(swarm.dead_asked, 125U);
  EXPECT_EQ(swarm.hops, 2'014U);
  EXPECT_EQ(swarm.from_peers, 992U);
  EXPECT_EQ(swarm.announcements, 152'568U);
  EXPECT_EQ(run_churn(options, 3), swarm);
  options.strategy = ChurnStrategy::kFingers;
  const auto fingers = run_churn(options, 3);
  EXPECT_EQ(fingers.hit_dead, 35U);
  EXPECT_EQ(fingers.hops, 1'976U);
  EXPECT_EQ(fingers.from_peers, 990U);
}

// What a node remembers of peers that did not answer saves it from asking them again.
TEST(ChurnTest, BreakersHelpWithOldViews) {
  auto options = small();
  options.stale_ms = 300'000;
  const auto with = run_churn(options, 1);
  options.breakers = false;
  const auto without = run_churn(options, 1);
  EXPECT_LT(2 * with.dead_asked, without.dead_asked);
  EXPECT_GT(with.from_peers, without.from_peers);
}

// While members change faster than once in two seconds who waits for them to settle says nothing, and coordinators
// forget.
TEST(ChurnTest, ToldAgainOnlyWhenSettled) {
  auto options = small();
  options.nodes = 600;
  options.reannounce = ReannounceRule::kSettled;
  const auto settled = run_churn(options, 1);
  options.reannounce = ReannounceRule::kMoved;
  const auto moved = run_churn(options, 1);
  EXPECT_GT(settled.upstream_needless, 2 * moved.upstream_needless);
}

TEST(ChurnStudyTest, DoesNotDependOnThreads) {
  ChurnStudy study;
  study.nodes = {100};
  study.base = small();
  study.base.pulls = 200;
  study.rates = {0.01};
  study.stale_ms = {0, 30'000};
  std::string first;
  for (const unsigned threads : {1U, 4U}) {
    study.threads = threads;
    Progress progress;
    const auto arms = run_churn_study(study, progress);
    ASSERT_TRUE(arms);
    EXPECT_EQ(arms->size(), 26U);
    const auto json = churn_report(study, *arms).json;
    if (first.empty()) first = json;
    EXPECT_EQ(json, first);
  }
}

}  // namespace
}  // namespace oxbow::p2p::sim

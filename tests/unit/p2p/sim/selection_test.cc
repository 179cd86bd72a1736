#include "p2p/sim/selection.h"

#include <gtest/gtest.h>

#include "core/log.h"
#include "p2p/sim/selection_engine.h"

namespace oxbow::p2p::sim {
namespace {

// Two stripes at a time take twice as long as one alone, and what waits begins when one ends.
TEST(SelectionServer, EqualShares) {
  SelectionServer server(1'000, 2, 1);
  EXPECT_EQ(server.offer(0, 1), SelectionServer::Offer::kBegun);
  EXPECT_EQ(server.next_end(), 1'000);
  EXPECT_EQ(server.offer(500, 2), SelectionServer::Offer::kBegun);
  EXPECT_EQ(server.next_end(), 1'500);  // the other half of the first, at half the speed
  EXPECT_EQ(server.offer(600, 3), SelectionServer::Offer::kWaits);
  EXPECT_EQ(server.offer(700, 4), SelectionServer::Offer::kFull);
  EXPECT_EQ(server.load(), (Load{2, 2, 1}));
  EXPECT_EQ(server.end(1'500), 1U);
  EXPECT_EQ(server.begin_waiting(1'500), 3U);
  EXPECT_EQ(server.begin_waiting(1'500), std::nullopt);
  EXPECT_EQ(server.next_end(), 2'500);
  EXPECT_EQ(server.end(2'500), 2U);
  EXPECT_EQ(server.next_end(), 3'000);
  EXPECT_EQ(server.end(3'000), 3U);
  EXPECT_EQ(server.next_end(), std::nullopt);
  EXPECT_EQ(server.queue(), 0U);
}

TEST(SelectionServer, WhoGivesUpDoesNotBegin) {
  SelectionServer server(1'000, 1, 2);
  server.offer(0, 1);
  server.offer(0, 2);
  server.offer(0, 3);
  EXPECT_TRUE(server.give_up(2));
  EXPECT_FALSE(server.give_up(2));
  EXPECT_FALSE(server.give_up(1));
  EXPECT_EQ(server.end(1'000), 1U);
  EXPECT_EQ(server.begin_waiting(1'000), 3U);
}

SelectionOptions small() {
  SelectionOptions options;
  options.nodes = {16};
  options.candidates = 8;
  options.refresh_s = {10};
  options.measured_s = 20;
  options.probation_refresh_s = 5;
  options.leaves = 0.2;
  options.seeds = 1;
  return options;
}

class SelectionTest : public testing::Test {
 protected:
  SelectionTest() { log::set_level(log::Level::kError); }
  ~SelectionTest() override { log::set_level(log::Level::kInfo); }
};

// Without dead and slow peers each stripe is picked for once unless it is turned away, and none is lost.
TEST_F(SelectionTest, NothingIsLost) {
  auto options = small();
  options.slow_share = 0;
  for (const auto policy : kSelectionPolicies) {
    SCOPED_TRACE(to_string(policy));
    SelectionEngine engine(options, {16, policy, 10, 0.05, 0, 0}, 3);
    const auto counts = engine.run({});
    EXPECT_EQ(counts.dead, 0U);
    EXPECT_NEAR(static_cast<double>(counts.ms.size()), 16 * 14 * 20, 400);  // nodes, stripes a second, seconds
    EXPECT_GE(counts.picks, counts.busy);
    for (const auto ms : counts.ms) EXPECT_GE(ms, options.stripe_ms - 0.01);
  }
}

struct Expected {
  SelectionPolicy policy;
  double p50, p99, dead, busy;
};

// Fixed seeds give these numbers on every machine, with any number of threads.
TEST_F(SelectionTest, Exact) {
  const std::vector<Expected> expected{
      {SelectionPolicy::kRandom, 594.158, 2004.563759999997, 0.0006107491856677524, 1.2065632726455384},
      {SelectionPolicy::kTwoChoices, 152.26350000000002, 581.0778999999999, 0.006952231442027361, 0.004539264639128461},
      {SelectionPolicy::kLatency, 456.408, 1295.0149599999972, 0, 0.3302752293577982},
      {SelectionPolicy::kDaemon, 126.47799999999999, 396.01522, 0.0053361792956243331, 0.00043038519474930065},
  };
  auto options = small();
  for (const unsigned threads : {1U, 3U}) {
    options.threads = threads;
    Progress progress;
    const auto result = run_selection(options, progress);
    ASSERT_TRUE(result);
    ASSERT_EQ(result->refreshes.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto& one = result->refreshes[i];
      SCOPED_TRACE(to_string(one.policy));
      EXPECT_EQ(one.policy, expected[i].policy);
      EXPECT_DOUBLE_EQ(one.figures.p50_ms.mean, expected[i].p50);
      EXPECT_DOUBLE_EQ(one.figures.p99_ms.mean, expected[i].p99);
      EXPECT_DOUBLE_EQ(one.figures.dead.mean, expected[i].dead);
      EXPECT_DOUBLE_EQ(one.figures.busy.mean, expected[i].busy);
    }
    EXPECT_EQ(result->probation.size(), 8U);
    EXPECT_EQ(selection_report(options, *result).sections.size(), 2U);
  }
}

// The rule gives new peers less than their share, and without it they have it all.
TEST_F(SelectionTest, ProbationHoldsBack) {
  auto options = small();
  options.measured_s = 60;
  const auto picks_over_fair = [&](double share) {
    SelectionEngine engine(options, {16, SelectionPolicy::kRandom, 5, share, 0.1, 0.3}, 1);
    const auto counts = engine.run({});
    return static_cast<double>(counts.unvetted) / counts.unvetted_share;
  };
  EXPECT_LT(picks_over_fair(0.05), 0.2);
  EXPECT_NEAR(picks_over_fair(1), 1, 0.1);
}

TEST_F(SelectionTest, RefusesNonsense) {
  Progress progress;
  const auto refused = [&](auto change) {
    auto options = small();
    change(options);
    const auto result = run_selection(options, progress);
    return !result && result.error().code() == Errc::kInvalid;
  };
  EXPECT_TRUE(refused([](auto& options) { options.nodes = {1}; }));
  EXPECT_TRUE(refused([](auto& options) { options.load = 0; }));
  EXPECT_TRUE(refused([](auto& options) { options.refresh_s = {0}; }));
  EXPECT_TRUE(refused([](auto& options) { options.slow_factor = 0; }));
}

}  // namespace
}  // namespace oxbow::p2p::sim

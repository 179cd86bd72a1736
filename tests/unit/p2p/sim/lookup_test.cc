#include "p2p/sim/lookup.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "p2p/sim/lookup_kademlia.h"
#include "p2p/sim/lookup_scheme.h"

namespace oxbow::p2p::sim {
namespace {

// At every time there are as many members as at any other, one in each place.
TEST(LookupHistory, ConstantSize) {
  const LookupHistory history(200, 0.5, 120'000, 7);
  EXPECT_GT(history.nodes().size(), 350U);  // half of them leave a minute, for two minutes
  for (const HistoryTime at : {-120'000, -60'000, -1, 0}) {
    auto members = history.members(at);
    ASSERT_EQ(members.size(), 200U);
    std::vector<std::uint32_t> places;
    for (const auto node : members) places.push_back(history.node(node).place);
    std::ranges::sort(places);
    for (std::uint32_t place = 0; place < 200; ++place) EXPECT_EQ(places[place], place);
  }
  EXPECT_TRUE(std::ranges::is_sorted(history.nodes(), {}, &LookupHistory::Node::id));
}

// The successor is a member of that time, and nobody of that time lies between.
TEST(LookupHistory, SuccessorAtATime) {
  const LookupHistory history(50, 0.5, 60'000, 3);
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const auto key = random.next();
    const auto at = -static_cast<HistoryTime>(random.below(60'000));
    const auto found = history.successor(key, at);
    ASSERT_TRUE(history.alive(found, at));
    for (const auto other : history.members(at)) EXPECT_GE(history.node(other).id - key, history.node(found).id - key);
  }
}

// The k closest are what sorting everybody gives.
TEST(Kademlia, HoldersAreTheClosest) {
  const LookupHistory history(300, 0.1, 60'000, 5);
  const KademliaTables tables(history, 20, 60'000, 5);
  Random random(2);
  for (int i = 0; i < 50; ++i) {
    const auto key = random.next();
    auto all = history.members(0);
    std::ranges::sort(all, {}, [&](auto node) { return history.node(node).id ^ key; });
    all.resize(20);
    EXPECT_EQ(tables.holders(key), all);
  }
}

// A bucket holds nobody twice, at most k, and only nodes that share exactly so many bits.
TEST(Kademlia, Buckets) {
  const LookupHistory history(1'000, 0.1, 600'000, 5);
  const KademliaTables tables(history, 20, 600'000, 5);
  const auto node = history.members(0).front();
  for (int bits = 0; bits < tables.depth(node); ++bits) {
    std::vector<std::uint32_t> bucket;
    tables.bucket(node, bits, bucket);
    EXPECT_LE(bucket.size(), 20U);
    for (const auto other : bucket) EXPECT_EQ(std::countl_zero(history.node(node).id ^ history.node(other).id), bits);
    std::ranges::sort(bucket);
    EXPECT_EQ(std::ranges::adjacent_find(bucket), bucket.end());
  }
}

LookupOptions small() {
  LookupOptions options;
  options.nodes = {100, 1'000};
  options.leaves = {0, 0.1};
  options.lookups = 200;
  options.seeds = 2;
  return options;
}

// Without churn nobody fails, nobody finds another owner, nobody meets the dead; and the number of hops is what the
// papers say: one; three; half of log2 N.
TEST(Lookup, WithoutChurn) {
  auto options = small();
  options.leaves = {0};
  Progress progress;
  const auto cells = run_lookup(options, progress);
  ASSERT_TRUE(cells);
  ASSERT_EQ(cells->size(), 10U);
  for (const auto& cell : *cells) {
    SCOPED_TRACE(to_string(cell.kind));
    EXPECT_EQ(cell.figures.failed.p95, 0);
    EXPECT_EQ(cell.figures.other.p95, 0);
    EXPECT_EQ(cell.figures.dead.p95, 0);
    if (cell.kind == LookupKind::kRing) {
      EXPECT_EQ(cell.figures.hops_max.mean, 1);
      EXPECT_EQ(cell.figures.state.mean, cell.nodes);
    }
    if (cell.kind == LookupKind::kFingers) {
      EXPECT_LE(cell.figures.hops_max.mean, 3);
    }
    if (cell.kind == LookupKind::kChord) {
      EXPECT_NEAR(cell.figures.hops.mean, cell.nodes == 100 ? 3.0 : 5.0, 1);
    }
  }
}

struct Expected {
  LookupKind kind;
  double hops, messages, dead, failed, other;
};

// Fixed seeds give these numbers on every machine, with any number of threads.
TEST(Lookup, ExactWithChurn) {
  const std::vector<Expected> expected{
      {LookupKind::kRing, 1, 1.0350000000000001, 0.035, 0, 0.0475},
      {LookupKind::kFingers, 2.9425, 3.115, 0.08499999999999999, 0, 0.0575},
      {LookupKind::kChord, 5.1925, 5.9025, 0.71, 0, 0.0125},
      {LookupKind::kKademliaValue, 1.3375, 4.2524999999999995, 1.2650000000000001, 0, 0},
      {LookupKind::kKademliaNode, 11.9875, 39.3475, 18.0825, 0, 0.015000000000000001},
  };
  auto options = small();
  options.nodes = {1'000};
  options.leaves = {0.1};
  for (const unsigned threads : {1U, 3U}) {
    options.threads = threads;
    Progress progress;
    const auto cells = run_lookup(options, progress);
    ASSERT_TRUE(cells);
    ASSERT_EQ(cells->size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto& one = (*cells)[i].figures;
      SCOPED_TRACE(to_string((*cells)[i].kind));
      EXPECT_EQ((*cells)[i].kind, expected[i].kind);
      EXPECT_DOUBLE_EQ(one.hops.mean, expected[i].hops);
      EXPECT_DOUBLE_EQ(one.messages.mean, expected[i].messages);
      EXPECT_DOUBLE_EQ(one.dead.mean, expected[i].dead);
      EXPECT_DOUBLE_EQ(one.failed.mean, expected[i].failed);
      EXPECT_DOUBLE_EQ(one.other.mean, expected[i].other);
    }
    EXPECT_EQ(progress.done(), progress.total());
  }
}

TEST(Lookup, RefusesNonsense) {
  Progress progress;
  const auto refused = [&](auto change) {
    auto options = small();
    change(options);
    const auto result = run_lookup(options, progress);
    return !result && result.error().code() == Errc::kInvalid;
  };
  EXPECT_TRUE(refused([](auto& options) { options.nodes = {2}; }));
  EXPECT_TRUE(refused([](auto& options) { options.leaves = {0.9}; }));
  EXPECT_TRUE(refused([](auto& options) { options.lookups = 0; }));
  EXPECT_TRUE(refused([](auto& options) { options.view_ms = 0; }));
  progress.cancel();
  const auto cancelled = run_lookup(small(), progress);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code(), Errc::kCancelled);
}

// The report has a table a size, and says each number in its JSON.
TEST(Lookup, Report) {
  auto options = small();
  options.lookups = 20;
  Progress progress;
  const auto cells = run_lookup(options, progress);
  ASSERT_TRUE(cells);
  const auto report = lookup_report(options, *cells);
  ASSERT_EQ(report.sections.size(), 3U);
  EXPECT_EQ(report.sections[0].tables.size(), 2U);
  for (const auto& table : report.sections[1].tables) {
    for (const auto& row : table.rows) EXPECT_EQ(row.size(), table.columns.size());
  }
  EXPECT_NE(report.json.find("\"kademlia_node\""), std::string::npos);
}

}  // namespace
}  // namespace oxbow::p2p::sim

#include "p2p/sim/capacity.h"

#include <gtest/gtest.h>

#include "p2p/sim/capacity_study.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint64_t kGiB = 1ULL << 30U;

CacheCluster cluster(const std::vector<CacheItem>& items, std::uint32_t nodes, bool last_copy = false) {
  return CacheCluster({.nodes = nodes, .budget_bytes = 16 * kGiB, .policy = make_lru, .last_copy = last_copy}, items);
}

TEST(CacheClusterTest, ServesFromItselfPeersAndUpstream) {
  const std::vector<CacheItem> items{{kGiB}};
  auto nodes = cluster(items, 2);
  EXPECT_EQ(nodes.request(0, 0).upstream_bytes, kGiB);
  EXPECT_EQ(nodes.request(1, 0).peer_bytes, kGiB);
  EXPECT_EQ(nodes.request(1, 0).local_bytes, kGiB);
  EXPECT_EQ(nodes.copies(0).min, 2U);
  nodes.check();
}

// Sixteen items fit; the seventeenth takes the place of the one that was used longest ago, unless it is the last copy.
TEST(CacheClusterTest, ProtectsLastCopies) {
  const std::vector<CacheItem> items(17, CacheItem{kGiB});
  for (const bool last_copy : {false, true}) {
    auto nodes = cluster(items, 2, last_copy);
    for (ItemId item = 0; item < 16; ++item) nodes.request(0, item);
    nodes.request(1, 5);
    nodes.request(0, 16);
    EXPECT_EQ(nodes.copies(0).min, last_copy ? 1U : 0U);
    EXPECT_EQ(nodes.copies(5).min, last_copy ? 1U : 2U);
    nodes.check();
  }
}

// Of a blob of twice the budget each of many nodes keeps another half: together they keep all of it. By the place in
// the walk alone, nodes that stand nowhere near the front keep its end.
TEST(CacheClusterTest, KeepsTogetherWhatNoNodeCan) {
  const std::vector<CacheItem> items{{32 * kGiB}};
  for (const auto order : {SpanOrder::kRank, SpanOrder::kPlace}) {
    CacheCluster nodes({.nodes = 64, .budget_bytes = 16 * kGiB, .policy = make_lru, .span_order = order}, items);
    for (std::uint32_t node = 0; node < 64; ++node) nodes.request(node, 0);
    nodes.check();
    const auto copies = nodes.copies(0);
    EXPECT_EQ(copies.kept_bytes, 32 * kGiB);
    EXPECT_DOUBLE_EQ(copies.mean, 32);
    EXPECT_EQ(copies.min, order == SpanOrder::kRank ? 21U : 8U);
    EXPECT_EQ(copies.max, 64U);
  }
}

CapacityOptions small() {
  CapacityOptions options;
  options.nodes = 50;
  options.disk_bytes = 100 * kGiB;
  options.images = 100;
  options.requests_per_node = 60;
  options.model_bytes = 70 * kGiB;
  options.model_share = 0.4;
  options.model_pulls = 3;
  return options;
}

// Files that leave whole leave in the same order everywhere, the oldest first. By span each node keeps another part.
TEST(CapacityTest, AModelInManyFilesIsKeptBySpan) {
  auto options = small();
  options.disk_bytes = 1'000 * kGiB;
  options.load = CapacityLoad::kModel;
  options.model_bytes = 700 * kGiB;
  options.model_files = 140;
  EXPECT_NEAR(run_capacity(options, make_lru, 1).usable_share(), 0.98919642857142853, 1e-9);
  options.pooled = false;
  EXPECT_NEAR(run_capacity(options, make_lru, 1).usable_share(), 20.0 / 140, 1e-9);
  options.last_copy = true;
  EXPECT_DOUBLE_EQ(run_capacity(options, make_lru, 1).usable_share(), 1);
}

TEST(CapacityTest, FixedSeed) {
  const auto result = run_capacity(small(), make_sieve, 7);
  EXPECT_EQ(result.stored_bytes, 533'219'845'120U);
  EXPECT_EQ(result.kept_bytes, 123'055'540'224U);
  EXPECT_EQ(static_cast<std::uint64_t>(result.upstream_bytes()), 207'410'629'632U);
}

TEST(CapacityStudyTest, DoesNotDependOnThreads) {
  CapacityStudy study;
  study.nodes = {20};
  study.seeds = 2;
  study.base = small();
  study.model_files = {1};
  study.sweep_nodes = 5;
  study.sweep_requests_per_node = 30;
  study.sweep_fill = {1};
  const std::vector<NamedPolicy> policies{{"LRU", make_lru}};
  std::string first;
  for (const unsigned threads : {1U, 4U}) {
    study.threads = threads;
    Progress progress;
    const auto arms = run_capacity_study(study, policies, progress);
    ASSERT_TRUE(arms);
    EXPECT_EQ(arms->size(), 10U);
    EXPECT_EQ(progress.done(), 20U);
    const auto json = capacity_report(study, *arms).json;
    if (first.empty()) first = json;
    EXPECT_EQ(json, first);
  }
}

}  // namespace
}  // namespace oxbow::p2p::sim

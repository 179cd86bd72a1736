// The seed protocol's simulator: against the published values, against its rules written literally, and to the digit.
#include "p2p/sim/seed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "p2p/sim/seed_placement.h"
#include "p2p/sim/seed_reference.h"
#include "tests/unit/p2p/sim/seed_literal.h"

namespace oxbow::p2p::sim {
namespace {

/// 64 nodes in 4 rows of 4 racks of 4: b = 4, 4 level-2 and 16 level-1 peers a key.
SeedOptions small() {
  SeedOptions out;
  out.nodes = {64};
  out.seeds = 3;
  out.rack_nodes = 4;
  out.row_racks = 4;
  out.v = 1;
  out.replicas = 3;
  out.files = 4;
  out.stripes = 5;
  out.requests_per_node = 4;
  return out;
}

std::vector<SeedSize> run(const SeedOptions& options) {
  Progress progress;
  auto out = run_seed(options, progress);
  EXPECT_TRUE(out) << out.error().what();
  EXPECT_EQ(progress.done(), progress.total());
  return out ? *out : std::vector<SeedSize>{};
}

// All 25 published values at 1,024 nodes.
TEST(SimSeed, MeetsThePublishedValues) {
  SeedOptions options;
  options.nodes = {kSeedReferenceNodes};
  ASSERT_TRUE(is_reference(options));
  const auto sizes = run(options);
  ASSERT_EQ(sizes.size(), 1U);
  for (const auto& reference : kSeedReference) {
    const auto [locality, uniform, benefit] = verdict(reference, sizes[0]);
    EXPECT_TRUE(locality) << name_of(reference.metric) << " " << to_string(sizes[0].locality.at(reference.metric), 3);
    EXPECT_TRUE(uniform) << name_of(reference.metric) << " " << to_string(sizes[0].uniform.at(reference.metric), 3);
    EXPECT_TRUE(benefit) << name_of(reference.metric) << " " << to_string(sizes[0].benefit.at(reference.metric), 3);
  }
}

// What is fast (bits, tiers without branches, no order where nothing is evicted) changes no digit.
TEST(SimSeed, AgreesWithTheRulesWrittenLiterally) {
  for (const std::uint32_t capacity : {0U, 1U, 2U, 5U, 19U, 20U}) {
    for (const bool tier_sampling : {true, false}) {
      for (const std::uint32_t v : {1U, 2U}) {
        auto options = small();
        options.capacity = capacity;
        options.tier_sampling = tier_sampling;
        options.v = v;
        const auto shape = shape_of(options, 64);
        Progress progress;
        for (const std::uint64_t seed : {1ULL, 2ULL, 99ULL}) {
          const auto fast = run_seed_once(options, shape, seed, progress);
          const auto locality = literal_seed_arm(options, shape, seed, true);
          const auto uniform = literal_seed_arm(options, shape, seed, false);
          for (std::size_t i = 0; i < kSeedMetrics; ++i) {
            EXPECT_DOUBLE_EQ(fast.locality[i], locality[i]) << name_of(static_cast<SeedMetric>(i)) << " " << capacity;
            EXPECT_DOUBLE_EQ(fast.uniform[i], uniform[i]) << name_of(static_cast<SeedMetric>(i)) << " " << capacity;
          }
        }
      }
    }
  }
}

TEST(SimSeed, ShapesFollowTheRules) {
  SeedOptions options;
  const auto shape = shape_of(options, 1000);
  EXPECT_EQ(shape.nodes, 1024U) << "whole rows";
  EXPECT_EQ(shape.b, 11U);
  EXPECT_EQ(shape.level2(), 22U);
  EXPECT_NEAR(shape.epsilon, 2 * 121 * std::log(11.0) / 1024, 1e-12);
  EXPECT_EQ(shape.capacity, 242U);
  EXPECT_EQ(shape_of(options, 4096).b, 16U) << "4096 is a cube: its root is not rounded up";
  EXPECT_EQ(shape_of(options, 16384).b, 26U);
  EXPECT_EQ(shape_of(options, 100'000).nodes, 100'352U);
  options.inverse_b = true;
  EXPECT_EQ(shape_of(options, 4096).epsilon, 1 / 16.0);
  options = small();
  options.jitter = 100;
  EXPECT_EQ(shape_of(options, 64).epsilon, 1);
  options.rack_nodes = 1;
  options.row_racks = 1;
  EXPECT_EQ(shape_of(options, 1).b, 2U);
}

// A key's nodes are distinct, and the near replicas are as near as there is room.
TEST(SimSeed, Placement) {
  auto options = small();
  options.replicas = 8;
  const auto shape = shape_of(options, 64);
  const SeedPlacement placement(options, shape, 5);
  const SeedTopology topology(4, 4);
  ASSERT_EQ(placement.keys(), 20U);
  for (std::uint32_t key = 0; key < placement.keys(); ++key) {
    std::set<SeedNode> fingers{placement.owner(key)};
    fingers.insert(placement.level2(key).begin(), placement.level2(key).end());
    for (std::uint32_t i = 0; i < 4; ++i)
      fingers.insert(placement.level1(key, i).begin(), placement.level1(key, i).end());
    EXPECT_EQ(fingers.size(), 21U);
    for (const auto replicas : {placement.near_replicas(key), placement.far_replicas(key)}) {
      auto all = fingers;
      all.insert(replicas.begin(), replicas.end());
      EXPECT_EQ(all.size(), 28U);
      EXPECT_LT(*all.rbegin(), 64U);
    }
    std::uint32_t widest = 0;
    std::set<SeedNode> taken = fingers;
    for (const auto node : placement.near_replicas(key)) {
      widest = std::max(widest, topology.tier(placement.owner(key), node));
      taken.insert(node);
    }
    for (SeedNode node = 0; node < 64; ++node)
      EXPECT_TRUE(taken.contains(node) || topology.tier(placement.owner(key), node) >= widest) << node;
  }
}

// Exact values: any change of rules, draws or their order shows here, on every machine.
TEST(SimSeed, FixedSeedsGiveFixedValues) {
  const auto size = run(small()).at(0);
  EXPECT_EQ(to_string(size.locality.at(SeedMetric::kClientHops), 6), "1.173979 [1.168066, 1.178549]");
  EXPECT_EQ(to_string(size.locality.at(SeedMetric::kSystemHops), 6), "1.380633 [1.370817, 1.387837]");
  EXPECT_EQ(to_string(size.locality.at(SeedMetric::kCopiesPerStripe), 6), "20.650000 [20.475000, 20.790000]");
  EXPECT_EQ(to_string(size.uniform.at(SeedMetric::kCongestionFactor), 6), "6.929145 [6.887800, 6.971128]");
  EXPECT_EQ(to_string(size.uniform.at(SeedMetric::kServeSkewP99), 6), "3.336063 [3.247861, 3.391028]");
  EXPECT_EQ(to_string(size.benefit.at(SeedMetric::kCrossRackShare), 6), "0.108724 [0.095737, 0.118094]");
}

TEST(SimSeed, ThreadsDoNotMatter) {
  auto options = small();
  options.nodes = {64, 128};
  options.seeds = 7;
  std::string before;
  for (const unsigned threads : {1U, 2U, 5U}) {
    options.threads = threads;
    const auto json = seed_report(options, run(options)).json;
    if (!before.empty()) EXPECT_EQ(json, before);
    before = json;
  }
}

// The number of a seed is its run: the first of five is the one of one.
TEST(SimSeed, SeedsAreNumbered) {
  auto options = small();
  options.seeds = 1;
  options.first_seed = 3;
  const auto shape = shape_of(options, 64);
  Progress progress;
  EXPECT_EQ(run(options)[0].locality[0].mean, run_seed_once(options, shape, 3, progress).locality[0]);
}

TEST(SimSeed, WithoutPinsWhatIsLostComesFromUpstream) {
  auto options = small();
  options.pinned = false;
  const auto roomy = run(options)[0];
  EXPECT_EQ(roomy.locality.at(SeedMetric::kOriginFetchesPerStripe).mean, 1) << "once for each, and never again";
  EXPECT_EQ(roomy.locality.at(SeedMetric::kEvictionsPerPull).mean, 0);
  options.capacity = 1;
  const auto tight = run(options)[0];
  EXPECT_GT(tight.locality.at(SeedMetric::kOriginFetchesPerStripe).mean, 1);
  EXPECT_LE(tight.locality.at(SeedMetric::kCopiesPerStripe).mean * 20, 64.001) << "one stripe a node";
  EXPECT_GT(tight.locality.at(SeedMetric::kClientHops).mean, roomy.locality.at(SeedMetric::kClientHops).mean);
}

TEST(SimSeed, WhatCannotBeIsRefused) {
  Progress progress;
  const auto refused = [&](auto change) {
    auto options = small();
    change(options);
    const auto out = run_seed(options, progress);
    return !out && out.error().code() == Errc::kInvalid && !out.error().what().empty();
  };
  EXPECT_TRUE(refused([](auto& o) { o.v = 4; })) << "more fingers than nodes";
  EXPECT_TRUE(refused([](auto& o) { o.v = 0xffffffff; }));
  EXPECT_TRUE(refused([](auto& o) { o.replicas = 0; }));
  EXPECT_TRUE(refused([](auto& o) { o.replicas = 50; }));
  EXPECT_TRUE(refused([](auto& o) { o.nodes = {}; }));
  EXPECT_TRUE(refused([](auto& o) { o.nodes = {2'000'000}; }));
  EXPECT_TRUE(refused([](auto& o) { o.rack_nodes = o.row_racks = 70'000; }));
  EXPECT_TRUE(refused([](auto& o) { o.files = 1'000'000; }));
  EXPECT_TRUE(refused([](auto& o) { o.alpha = -1; }));
  EXPECT_TRUE(refused([](auto& o) { o.jitter = std::nan(""); }));
  progress.cancel();
  EXPECT_EQ(run_seed(small(), progress).error().code(), Errc::kCancelled);
}

// Per size, two arms of the ten metrics and the benefits; with a flaw put right also what it makes possible.
TEST(SimSeed, Json) {
  auto options = small();
  options.capacity = 20;
  const auto json = nlohmann::json::parse(seed_report(options, run(options)).json);
  ASSERT_TRUE(json.contains("64"));
  for (const auto* arm : {"locality", "uniform"}) {
    EXPECT_EQ(json["64"][arm].size(), 10U);
    for (const auto* metric : {"client_hops", "system_hops", "congestion_factor", "cross_rack_share", "cross_row_share",
                               "copies_per_stripe", "copies_hot", "hot_file_share", "serve_skew_p99", "serve_skew_max"})
      for (const auto* part : {"mean", "p5", "p95"}) EXPECT_TRUE(json["64"][arm][metric][part].is_number()) << metric;
  }
  EXPECT_TRUE(json["64"]["benefit"]["congestion_factor"]["p95"].is_number());
  options.capacity = 5;
  const auto evicting = nlohmann::json::parse(seed_report(options, run(options)).json);
  EXPECT_GT(evicting["64"]["uniform"]["evictions_per_pull"]["mean"], 0);
}

TEST(SimSeed, Fixes) {
  Progress progress;
  auto options = small();
  options.capacity = 4;
  const auto fixes = run_seed_fixes(options, progress);
  ASSERT_TRUE(fixes);
  ASSERT_EQ(fixes->size(), 5U);
  const auto at = [&](std::size_t i, SeedMetric metric) { return (*fixes)[i].sizes[0].locality.at(metric).mean; };
  EXPECT_EQ((*fixes)[0].name, "as published");
  EXPECT_EQ((*fixes)[1].sizes[0].shape.epsilon, 0.25);
  EXPECT_EQ(at(0, SeedMetric::kEvictionsPerPull), 0);
  EXPECT_EQ(at(2, SeedMetric::kOriginFetchesPerStripe), 1);
  EXPECT_GT(at(3, SeedMetric::kEvictionsPerPull), 0);
  EXPECT_GT(at(4, SeedMetric::kOriginFetchesPerStripe), 1);
  const auto report = seed_fixes_report(options, *fixes);
  EXPECT_EQ(report.sections.at(0).tables.at(0).rows.size(), 5U);
  EXPECT_TRUE(nlohmann::json::parse(report.json).contains("all three"));
}

}  // namespace
}  // namespace oxbow::p2p::sim

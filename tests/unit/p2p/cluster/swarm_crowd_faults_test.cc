// Fifty nodes of which one dies, hangs or is slow while all of them pull: the others are complete in time, and upstream
// gives little twice.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <ostream>

#include "cluster.h"

namespace oxbow::p2p::test {
namespace {

constexpr double kLimitMs = 300'000;  // of whoever has a tenth of the bandwidth

enum class Fault : std::uint8_t { kKilled, kHangs, kSlow };
constexpr std::array kNames{"killed", "hangs", "slow"};

struct Case {
  Fault fault;
  double over_bound;  ///< of the others: what was measured over the seeds, and 15 %
  double upstream_share;
};
void PrintTo(const Case& one, std::ostream* out) { *out << kNames[static_cast<std::size_t>(one.fault)]; }

class SwarmCrowdFaults : public ::testing::TestWithParam<std::tuple<Case, std::uint64_t>> {};

TEST_P(SwarmCrowdFaults, TheOthersAreCompleteInTime) {
  const auto& [one, seed] = GetParam();
  ClusterOptions options;
  options.nodes = 50;
  options.blob_bytes = 64ULL * 1024 * 1024;
  options.step_ms = 4;
  options.seed = seed;
  Cluster cluster(options,
                  [](StrategyContext context) { return make_strategy(StrategyKind::kSwarm, std::move(context)); });
  std::uint32_t faulty = 1;
  if (one.fault == Fault::kSlow) cluster.slow(faulty, 10);
  cluster.start_all();
  // Where it hurts most: whoever gets a span from upstream at that moment.
  cluster.at(1'000, [&cluster, &faulty, fault = one.fault] {
    if (fault == Fault::kSlow) return;
    ASSERT_GE(cluster.lease_holder(), 0);
    faulty = static_cast<std::uint32_t>(cluster.lease_holder());
    fault == Fault::kKilled ? cluster.kill(faulty) : cluster.hang(faulty);
  });
  EXPECT_TRUE(cluster.run(kLimitMs)) << "somebody is not complete";
  EXPECT_LE(cluster.slowest_ms({faulty}) / cluster.lower_bound_ms(), one.over_bound);
  EXPECT_LE(cluster.upstream_share(), one.upstream_share);
  EXPECT_LE(cluster.moved_share(), 1.05);
  for (const auto& violation : cluster.violations()) ADD_FAILURE() << violation;
}

// The blob is small, so that a second more is a third of the bound. Measured: killed 1.87 to 1.91, hangs 2.29 to 2.32
// (1.28 to 1.34 with 256 MiB), slow 1.43 to 1.47, without any 1.42 to 1.52; from upstream 1.044 to 1.056, slow 1.000.
INSTANTIATE_TEST_SUITE_P(Faults, SwarmCrowdFaults,
                         ::testing::Combine(::testing::Values(Case{Fault::kKilled, 2.2, 1.10},
                                                              Case{Fault::kHangs, 2.65, 1.10},
                                                              Case{Fault::kSlow, 1.7, 1.02}),
                                            ::testing::Values(1U, 2U, 3U)),
                         [](const auto& param) {
                           const auto fault = static_cast<std::size_t>(std::get<0>(param.param).fault);
                           return fmt::format("{}_{}", kNames[fault], std::get<1>(param.param));
                         });

}  // namespace
}  // namespace oxbow::p2p::test

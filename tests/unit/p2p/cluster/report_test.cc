#include <fmt/format.h>
#include <gtest/gtest.h>

#include "cluster.h"
#include "p2p/swarm.h"

namespace oxbow::p2p::test {
namespace {
std::unique_ptr<Strategy> swarm(StrategyContext context) { return std::make_unique<Swarm>(std::move(context)); }
TEST(Report, Table) {
  const bool slow = getenv("SLOW") != nullptr;
  std::vector<std::uint32_t> sizes = {4, 8, 16, 50};
  if (const char* n = getenv("N")) sizes = {static_cast<std::uint32_t>(atoi(n))};
  for (const auto n : sizes) {
    ClusterOptions options;
    options.nodes = n;
    if (const char* s = getenv("SEED")) options.seed = static_cast<std::uint64_t>(atoi(s));
    if (const char* s = getenv("CONN")) options.upstream_connection = atof(s);
    Cluster cluster(options, swarm);
    cluster.trace = getenv("TRACE") != nullptr;
    if (slow) cluster.slow(1, 10);
    cluster.start_all();
    const bool done = cluster.run(120'000);
    std::set<std::uint32_t> except;
    if (slow) except.insert(1);
    fmt::print("N {:2} done {} max {:.2f} x LB (all {:.2f}) upstream {:.3f} moved {:.3f} hedges {} announces {} busy {}\n", n, done,
               cluster.slowest_ms(except) / cluster.lower_bound_ms(), cluster.slowest_ms() / cluster.lower_bound_ms(), cluster.upstream_share(), cluster.moved_share(),
               cluster.hedges(), cluster.announces(), cluster.busy_answers());
    if (!done) for (std::uint32_t i = 0; i < n; ++i) fmt::print("  {} {}\n", i, cluster.stripes_of(i));
    for (std::size_t i = 0; i < std::min<std::size_t>(cluster.violations().size(), 5); ++i) fmt::print("   ! {}\n", cluster.violations()[i]);
  }
}
}  // namespace
}  // namespace oxbow::p2p::test

#include "p2p/sim/topology.h"

#include <algorithm>
#include <numeric>

#include "p2p/sim/topology_bursts.h"
#include "p2p/sim/topology_failures.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::array kFailingKinds{TopologyKind::kSingle, TopologyKind::kSharded, TopologyKind::kReplicated,
                                   TopologyKind::kRing};

constexpr std::uint32_t kKeysPerServer = 10;

struct LoadRun {
  double messages = 0;
  double bytes = 0;
  double hops = 0;
  double hops_p99 = 0;
  double steps = 0;
  double steps_mean = 0;
  double work_max = 0;
  double skew_max = 0;
  double skew_p99 = 0;
};

LoadRun run_load(const TopologyOptions& options, std::uint32_t clients, TopologyKind kind, std::uint64_t seed) {
  const bool clients_serve = kind == TopologyKind::kRing || kind == TopologyKind::kRingReaders;
  const TopologyPlacement placement(kind, clients_serve ? clients : options.servers, options.replicas, options.keys,
                                    seed);
  const Popularity popularity(options.keys, options.uniform ? 0 : 1);
  TopologyBursts bursts(kind, placement, popularity, options, clients, seed);
  for (std::uint32_t i = 0; i < options.bursts; ++i) bursts.burst();
  const auto& counts = bursts.counts();
  const auto requests = static_cast<double>(counts.requests);
  const auto moved = static_cast<double>(counts.requests - counts.own + counts.fills);
  LoadRun run;
  run.messages = static_cast<double>(counts.messages) / requests;
  run.bytes = (moved + static_cast<double>(counts.messages) * options.message_bytes / options.stripe_bytes) / requests;
  auto hops = counts.hops;
  run.hops = std::accumulate(hops.begin(), hops.end(), 0.0) / requests;
  run.hops_p99 = quantile(hops, 0.99);
  run.steps = static_cast<double>(counts.steps) / options.bursts;
  run.steps_mean = static_cast<double>(counts.steps_waited) / requests;
  run.work_max = static_cast<double>(counts.work_max) / options.bursts;
  std::vector<double> served(counts.served.begin(), counts.served.end());
  const double mean = std::accumulate(served.begin(), served.end(), 0.0) / static_cast<double>(served.size());
  if (mean > 0) {
    run.skew_max = quantile(served, 1) / mean;
    run.skew_p99 = quantile(served, 0.99) / mean;
  }
  return run;
}

struct FailureRun {
  std::vector<ShardLoss> losses;  ///< by killed
  double sets = 0;
  double any = 0;
};

std::vector<std::uint32_t> killed_of(const TopologyOptions& options) {
  std::vector<std::uint32_t> killed{1, options.replicas - 1, options.replicas};
  std::erase(killed, 0U);
  std::ranges::sort(killed);
  killed.erase(std::ranges::unique(killed).begin(), killed.end());
  return killed;
}

FailureRun run_failures(const TopologyOptions& options, std::uint32_t servers, TopologyKind kind, std::uint64_t seed) {
  // With fewer keys than servers there would be servers without any.
  const auto keys = std::max(options.keys, kKeysPerServer * servers);
  const TopologyPlacement placement(kind, servers, options.replicas, keys, seed);
  const Popularity popularity(keys, options.uniform ? 0 : 1);
  Random random(seed);
  FailureRun run;
  for (const auto killed : killed_of(options))
    run.losses.push_back(lose_of_a_shard(placement, popularity, keys, killed, options.trials, random));
  const auto sets = holder_sets(placement, keys);
  run.sets = sets;
  run.any = any_loss(sets, placement.servers(), placement.copies());
  return run;
}

template <typename Run, typename Get>
Band band_over(std::span<const Run> runs, Get get) {
  std::vector<double> values;
  for (const auto& run : runs) values.push_back(get(run));
  return band_of(values);
}

TopologyLoad load_of(std::uint32_t clients, TopologyKind kind, std::span<const LoadRun> runs) {
  const auto band = [&](double LoadRun::* field) {
    return band_over(runs, [&](const LoadRun& run) { return run.*field; });
  };
  return {clients,
          kind,
          band(&LoadRun::messages),
          band(&LoadRun::bytes),
          band(&LoadRun::hops),
          band(&LoadRun::hops_p99),
          band(&LoadRun::steps),
          band(&LoadRun::steps_mean),
          band(&LoadRun::work_max),
          band(&LoadRun::skew_max),
          band(&LoadRun::skew_p99)};
}

Result<> check(const TopologyOptions& options) {
  const auto bad = [](const char* what) { return fail(Errc::kInvalid, what); };
  for (const auto clients : options.clients) {
    if (clients == 0 || clients > 1'000'000) return bad("clients must be 1 to 1,000,000");
  }
  if (options.replicas == 0 || options.replicas > 16) return bad("replicas must be 1 to 16");
  if (options.servers < options.replicas) return bad("there must be at least as many servers as replicas");
  if (options.servers % options.replicas != 0) return bad("servers must be a multiple of replicas");
  for (const auto servers : options.failing_servers) {
    if (servers < options.replicas || servers % options.replicas != 0)
      return bad("servers that fail must be a multiple of replicas");
  }
  if (options.keys == 0 || options.work == 0 || options.bursts == 0 || options.seeds == 0 || options.trials == 0)
    return bad("keys, work, bursts, trials and seeds must be at least 1");
  if (!(options.stripe_bytes > 0 && options.message_bytes >= 0)) return bad("bytes must be positive");
  return {};
}

}  // namespace

std::string_view to_string(TopologyKind kind) noexcept {
  switch (kind) {
    case TopologyKind::kSingle:
      return "single";
    case TopologyKind::kSharded:
      return "sharded";
    case TopologyKind::kReplicated:
      return "replicated";
    case TopologyKind::kRing:
      return "ring";
    case TopologyKind::kRingReaders:
      return "ring_readers";
  }
  return "unknown";
}

Result<TopologyResult> run_topology(const TopologyOptions& options, Progress& progress) {
  if (auto checked = check(options); !checked) return std::unexpected(std::move(checked).error());
  const auto seeds = options.seeds;
  const auto kinds = kTopologyKinds.size();
  const auto fail_kinds = kFailingKinds.size();
  std::vector<LoadRun> loads(options.clients.size() * kinds * seeds);
  std::vector<FailureRun> failures(options.failing_servers.size() * fail_kinds * seeds);
  progress.begin("topologies", loads.size() + failures.size());
  for_each_run(loads.size() + failures.size(), options.threads, [&](std::size_t i) {
    if (progress.cancelled()) return;
    const auto seed = options.first_seed + i % seeds;
    if (i < loads.size()) {
      loads[i] = run_load(options, options.clients[i / seeds / kinds], kTopologyKinds[i / seeds % kinds], seed);
    } else {
      const auto at = i - loads.size();
      failures[at] = run_failures(options, options.failing_servers[at / seeds / fail_kinds],
                                  kFailingKinds[at / seeds % fail_kinds], options.first_seed + at % seeds);
    }
    progress.add();
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "cancelled");
  TopologyResult result;
  for (std::size_t i = 0; i < loads.size(); i += seeds) {
    result.loads.push_back(load_of(options.clients[i / seeds / kinds], kTopologyKinds[i / seeds % kinds],
                                   std::span(loads).subspan(i, seeds)));
  }
  const auto killed = killed_of(options);
  for (std::size_t i = 0; i < failures.size(); i += seeds) {
    const auto runs = std::span<const FailureRun>(failures).subspan(i, seeds);
    for (std::size_t k = 0; k < killed.size(); ++k) {
      const auto band = [&](double ShardLoss::* field) {
        return band_over(runs, [&](const FailureRun& run) { return run.losses[k].*field; });
      };
      result.failures.push_back({options.failing_servers[i / seeds / fail_kinds], kFailingKinds[i / seeds % fail_kinds],
                                 killed[k], band(&ShardLoss::keys), band(&ShardLoss::requests),
                                 band(&ShardLoss::dead_tries),
                                 band_over(runs, [](const FailureRun& run) { return run.sets; }),
                                 band_over(runs, [](const FailureRun& run) { return run.any; })});
    }
  }
  return result;
}

}  // namespace oxbow::p2p::sim

#include "p2p/sim/selection.h"

#include <algorithm>
#include <numeric>

#include "p2p/sim/selection_engine.h"

namespace oxbow::p2p::sim {
namespace {

struct Run {
  double mean_ms = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  double p999_ms = 0;
  double skew_max = 0;
  double skew_p99 = 0;
  double dead = 0;
  double stale = 0;
  double busy = 0;
  double unvetted = 0;
  double fair = 0;
};

Run run_one(const SelectionOptions& options, const SelectionSetup& setup, std::uint64_t seed,
            const Progress& progress) {
  SelectionEngine engine(options, setup, seed);
  auto counts = engine.run(progress);
  Run run;
  if (progress.cancelled() || counts.ms.empty()) return run;
  const auto stripes = static_cast<double>(counts.ms.size());
  const auto picks = static_cast<double>(counts.picks);
  run.mean_ms = std::accumulate(counts.ms.begin(), counts.ms.end(), 0.0) / stripes;
  run.p50_ms = quantile(counts.ms, 0.5);
  run.p99_ms = quantile(counts.ms, 0.99);
  run.p999_ms = quantile(counts.ms, 0.999);
  run.dead = static_cast<double>(counts.dead) / picks;
  run.stale = static_cast<double>(counts.stale) / picks;
  run.busy = static_cast<double>(counts.busy) / stripes;
  run.unvetted = static_cast<double>(counts.unvetted) / picks;
  run.fair = counts.unvetted_share / picks;
  std::vector<double> served;
  for (std::size_t place = 0; place < counts.served.size(); ++place) {
    if (counts.fast_throughout[place]) served.push_back(counts.served[place]);
  }
  if (served.empty()) return run;
  const double mean = std::accumulate(served.begin(), served.end(), 0.0) / static_cast<double>(served.size());
  run.skew_max = quantile(served, 1) / mean;
  run.skew_p99 = quantile(served, 0.99) / mean;
  return run;
}

SelectionFigures figures_of(std::span<const Run> runs) {
  const auto band = [&](double Run::* field) {
    std::vector<double> values;
    for (const auto& run : runs) values.push_back(run.*field);
    return band_of(values);
  };
  return {band(&Run::mean_ms),  band(&Run::p50_ms),   band(&Run::p99_ms), band(&Run::p999_ms),
          band(&Run::skew_max), band(&Run::skew_p99), band(&Run::dead),   band(&Run::stale),
          band(&Run::busy),     band(&Run::unvetted), band(&Run::fair)};
}

/// The first `refreshes` of them are the sweep.
std::vector<SelectionSetup> setups_of(const SelectionOptions& options, std::size_t& refreshes) {
  std::vector<SelectionSetup> out;
  for (const auto nodes : options.nodes) {
    for (const auto refresh : options.refresh_s) {
      for (const auto policy : kSelectionPolicies)
        out.push_back({nodes, policy, refresh, options.probation_share, options.leaves, options.slow_share});
    }
  }
  refreshes = out.size();
  for (const auto nodes : options.nodes) {
    for (const auto policy : kSelectionPolicies) {
      for (const double share : {options.probation_share, 1.0})
        out.push_back(
            {nodes, policy, options.probation_refresh_s, share, options.probation_leaves, options.probation_slow});
    }
  }
  return out;
}

Result<> check(const SelectionOptions& options) {
  const auto bad = [](const char* what) { return fail(Errc::kInvalid, what); };
  for (const auto nodes : options.nodes) {
    if (nodes < 2 || nodes > 10'000) return bad("nodes must be 2 to 10,000");
  }
  if (options.candidates < 2 || options.candidates > 1'000) return bad("candidates must be 2 to 1,000");
  for (const auto refresh : options.refresh_s) {
    if (!(refresh >= 0.1 && refresh <= 3'600)) return bad("a refresh interval must be 0.1 s to 1 h");
  }
  if (!(options.load > 0 && options.load <= 2)) return bad("load must be above 0 and at most 2");
  if (!(options.slow_factor > 0 && options.slow_factor <= 1)) return bad("the slow factor must be above 0, at most 1");
  if (!(options.stripe_ms >= 0.1 && options.timeout_ms >= 1 && options.measured_s >= 1))
    return bad("times must be positive");
  if (!(options.leaves >= 0 && options.leaves <= 1 && options.probation_leaves >= 0 && options.probation_leaves <= 1))
    return bad("churn must be 0 to 100 % a minute");
  if (options.seeds == 0) return bad("seeds must be at least 1");
  return {};
}

}  // namespace

std::string_view to_string(SelectionPolicy policy) noexcept {
  switch (policy) {
    case SelectionPolicy::kRandom:
      return "random";
    case SelectionPolicy::kTwoChoices:
      return "two_choices";
    case SelectionPolicy::kLatency:
      return "ewma_latency";
    case SelectionPolicy::kDaemon:
      return "ewma_latency_load";
  }
  return "unknown";
}

Result<SelectionResult> run_selection(const SelectionOptions& options, Progress& progress) {
  if (auto checked = check(options); !checked) return std::unexpected(std::move(checked).error());
  std::size_t refreshes = 0;
  const auto setups = setups_of(options, refreshes);
  std::vector<Run> runs(setups.size() * options.seeds);
  progress.begin("selections", runs.size());
  for_each_run(runs.size(), options.threads, [&](std::size_t i) {
    if (progress.cancelled()) return;
    runs[i] = run_one(options, setups[i / options.seeds], options.first_seed + i % options.seeds, progress);
    progress.add();
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "cancelled");
  SelectionResult result;
  for (std::size_t i = 0; i < setups.size(); ++i) {
    const auto& setup = setups[i];
    const auto of = std::span<const Run>(runs).subspan(i * options.seeds, options.seeds);
    (i < refreshes ? result.refreshes : result.probation)
        .push_back({setup.nodes, setup.policy, setup.refresh_s, setup.probation_share, figures_of(of)});
  }
  return result;
}

}  // namespace oxbow::p2p::sim

#include "p2p/sim/churn_study.h"

#include <algorithm>

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint32_t kRackMs = 60'000;

void plan_size(const ChurnStudy& study, std::uint32_t nodes, std::vector<ChurnArm>& out) {
  auto options = study.base;
  options.nodes = nodes;
  for (const auto strategy : study.strategies) {
    options.strategy = strategy;
    for (const auto scenario : study.scenarios) {
      options.scenario = scenario;
      // What a rack's death costs is over soon.
      options.measured_ms =
          scenario == ChurnScenario::kRack ? std::min(kRackMs, study.base.measured_ms) : study.base.measured_ms;
      for (const auto rate : scenario == ChurnScenario::kSteady ? study.rates : std::vector{study.base.rate}) {
        options.rate = rate;
        for (const auto stale_ms : study.stale_ms) {
          options.stale_ms = stale_ms;
          for (const bool breakers : {true, false}) {
            options.breakers = breakers;
            out.push_back({.options = options});
          }
        }
      }
    }
  }
}

/// The other rule of telling again, where it matters: the swarm with breakers, steady and rolling.
void plan_other_rule(const ChurnStudy& study, std::vector<ChurnArm>& out) {
  const auto planned = out;
  for (auto arm : planned) {
    const auto& options = arm.options;
    if (options.strategy != ChurnStrategy::kSwarm || !options.breakers || options.scenario == ChurnScenario::kRack ||
        options.stale_ms != study.stale_ms.front())
      continue;
    arm.options.reannounce =
        options.reannounce == ReannounceRule::kSettled ? ReannounceRule::kMoved : ReannounceRule::kSettled;
    out.push_back(arm);
  }
}

}  // namespace

Result<std::vector<ChurnArm>> run_churn_study(const ChurnStudy& study, Progress& progress) {
  std::vector<ChurnArm> arms;
  for (const auto nodes : study.nodes) plan_size(study, nodes, arms);
  plan_other_rule(study, arms);
  for (auto& arm : arms) arm.results.resize(study.seeds);
  progress.begin("churn", arms.size() * study.seeds);
  for_each_run(arms.size() * study.seeds, study.threads, [&](std::size_t run) {
    if (progress.cancelled()) return;
    auto& arm = arms[run / study.seeds];
    const auto seed = run % study.seeds;
    arm.results[seed] = run_churn(arm.options, study.first_seed + seed, &progress);
    progress.add();
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "interrupted");
  return arms;
}

}  // namespace oxbow::p2p::sim

// The runs behind `oxbow sim churn`: rates, views of three ages, breakers on and off, both strategies; a rack that dies
// and a rolling upgrade; the two rules of telling coordinators again.
// Thread rule: pure functions; `progress` from any thread.
#pragma once

#include <vector>

#include "p2p/sim/churn.h"

namespace oxbow::p2p::sim {

struct ChurnStudy {
  std::vector<std::uint32_t> nodes = {1'000, 10'000};
  std::uint32_t seeds = 1;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;
  ChurnOptions base;
  std::vector<ChurnStrategy> strategies = {ChurnStrategy::kSwarm, ChurnStrategy::kFingers};
  std::vector<ChurnScenario> scenarios = {ChurnScenario::kSteady, ChurnScenario::kRack, ChurnScenario::kRolling};
  std::vector<double> rates = {0.001, 0.01, 0.1};
  std::vector<std::uint32_t> stale_ms = {0, 30'000, 300'000};
};

struct ChurnArm {
  ChurnOptions options;
  std::vector<ChurnResult> results = {};  ///< by seed
};

/// Errors: kCancelled.
Result<std::vector<ChurnArm>> run_churn_study(const ChurnStudy& study, Progress& progress);
Report churn_report(const ChurnStudy& study, const std::vector<ChurnArm>& arms);

}  // namespace oxbow::p2p::sim

// The runs behind `oxbow sim capacity`: loads, policies and rules of eviction beside each other, and working sets from
// a tenth of the aggregate budget to twice it. Thread rule: pure functions; `progress` from any thread.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "p2p/sim/capacity.h"

namespace oxbow::p2p::sim {

struct NamedPolicy {
  std::string name;
  PolicyMaker make;
};

/// A rule of eviction that is compared: what the daemon does, and what it might.
struct CapacityRule {
  std::string name;
  bool last_copy = false;
  bool pooled = true;
  SpanOrder span_order = SpanOrder::kRank;
};

struct CapacityStudy {
  std::vector<std::uint32_t> nodes = {1'000, 10'000};
  std::uint32_t seeds = 1;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;
  CapacityOptions base;
  std::vector<CapacityLoad> loads = {CapacityLoad::kImages, CapacityLoad::kModel, CapacityLoad::kBoth};
  std::vector<std::uint32_t> model_files = {1, 140};
  /// From this size on only the daemon's own policy, the last of the list: the others differ no more.
  std::uint32_t one_policy_from = 5'000;
  std::uint32_t sweep_nodes = 100;  ///< 0: no sweep
  std::uint32_t sweep_requests_per_node = 2'000;
  std::vector<double> sweep_fill = {0.1, 0.25, 0.5, 1, 2};  ///< working set over aggregate budget
};

/// One arm at one size; `seeds` results.
struct CapacityArm {
  CapacityOptions options;
  std::string policy;
  std::string rule;
  double fill = 0;  ///< of the sweep; 0: none
  std::vector<CapacityResult> results = {};
};

/// `policies`: at least one, the daemon's last. Errors: kCancelled.
Result<std::vector<CapacityArm>> run_capacity_study(const CapacityStudy& study,
                                                    const std::vector<NamedPolicy>& policies, Progress& progress);
Report capacity_report(const CapacityStudy& study, const std::vector<CapacityArm>& arms);

}  // namespace oxbow::p2p::sim

// What is asked of a crowd: scenarios, options by name, and the report over cases and seeds.
// Thread rule: plain functions. Errors: kInvalid (no such scenario or option, or a value that makes no sense).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/sim/crowd.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace oxbow::p2p::sim {

struct CrowdCase {
  std::string name;
  CrowdOptions options;
  std::string swept = {};  ///< the option that this case has a value of; its name then is that of all values
  double value = 0;
  std::string title() const;  ///< the name, and the value
};

/// flash, staggered, partial (100, 10 and 1 % of the nodes want it), slow (5 % with a tenth of the uplink; and of both
/// links), warm (a tenth has it already), deaths (1 % of the nodes a minute). `base` gives everything else.
Result<std::vector<CrowdCase>> crowd_scenario(std::string_view name, const CrowdOptions& base);
const std::vector<std::string_view>& crowd_scenarios();

/// Options that can be swept, by name.
Result<> set_crowd_option(CrowdOptions& options, std::string_view name, double value);
const std::vector<std::string_view>& crowd_option_names();

struct CrowdOutcome {
  CrowdCase asked;
  std::vector<CrowdResult> by_seed;
};
/// Every case with every seed from `first_seed` on.
std::vector<CrowdOutcome> run_crowds(std::span<const CrowdCase> cases, std::uint32_t seeds, std::uint64_t first_seed,
                                     unsigned threads, Progress& progress);
Report crowd_report(std::span<const CrowdOutcome> outcomes, std::string command);

}  // namespace oxbow::p2p::sim

// The plots of a report over crowds: by the number of nodes, by the value of a swept option, or case by case.
// Thread rule: pure function.
#pragma once

#include <span>
#include <vector>

#include "p2p/sim/crowd_cases.h"
#include "p2p/sim/report.h"

namespace oxbow::p2p::sim {

std::vector<Plot> crowd_plots(std::span<const CrowdOutcome> outcomes);

}  // namespace oxbow::p2p::sim

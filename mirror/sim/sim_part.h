// One sub-command of `oxbow sim`: its options, and how it runs. mirror/sim/sim_command.h joins them; the simulations
// themselves are in p2p/sim.
// Thread rule: main. Lifetime: as long as the CLI::App that they join, which keeps pointers into them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/error.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace CLI {
class App;
}

namespace oxbow::mirror {

/// What every simulation is asked: --seeds, --seed, --nodes, --threads. 0 and empty: the simulation's own default.
struct SimCommon {
  std::uint32_t seeds = 0;
  std::uint64_t first_seed = 1;
  std::vector<std::uint32_t> nodes = {};
  unsigned threads = 0;
  /// `oxbow sim all`: where nothing else is said, sizes and seeds that take seconds, not minutes.
  bool quick = false;
};

/// Takes them over into a simulation's own options; `sizes` is the list that --nodes means there, `quick_sizes` what
/// `oxbow sim all` makes of it (none: the simulation's own).
template <typename Options>
void take_common(const SimCommon& common, Options& options, std::vector<std::uint32_t>& sizes,
                 std::vector<std::uint32_t> quick_sizes = {}) {
  options.first_seed = common.first_seed;
  options.threads = common.threads;
  if (common.seeds != 0) options.seeds = common.seeds;
  if (!common.nodes.empty())
    sizes = common.nodes;
  else if (common.quick && !quick_sizes.empty())
    sizes = std::move(quick_sizes);
}

class SimPart {
 public:
  virtual ~SimPart() = default;
  /// Adds its sub-command with its options and returns it; the common options are added by the caller.
  virtual CLI::App* add(CLI::App& sim) = 0;
  /// Errors: kInvalid (an option makes no sense: exit code 2), kCancelled.
  virtual Result<p2p::sim::Report> run(const SimCommon& common, p2p::sim::Progress& progress) = 0;
};

std::unique_ptr<SimPart> make_sim_seed();
std::unique_ptr<SimPart> make_sim_crowd();
std::unique_ptr<SimPart> make_sim_churn();
std::unique_ptr<SimPart> make_sim_capacity();
std::unique_ptr<SimPart> make_sim_lookup();
std::unique_ptr<SimPart> make_sim_topology();
std::unique_ptr<SimPart> make_sim_selection();

}  // namespace oxbow::mirror

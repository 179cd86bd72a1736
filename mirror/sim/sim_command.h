// `oxbow sim`: the command line of the simulator. One sub-command a simulation (sim_part.h), and `all`.
// Thread rule: main. Lifetime: as long as the CLI::App that it joins, which keeps pointers into it.
#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "mirror/sim/sim_part.h"

namespace oxbow::mirror {

/// Every simulation of the program, in the order of the help.
std::vector<std::unique_ptr<SimPart>> all_sim_parts();

class SimCommand {
 public:
  explicit SimCommand(CLI::App& app, std::vector<std::unique_ptr<SimPart>> parts = all_sim_parts());
  SimCommand(const SimCommand&) = delete;
  SimCommand& operator=(const SimCommand&) = delete;

  bool parsed() const;
  /// Returns the exit code: 0 done, 1 failed, 2 an argument is wrong, 130 interrupted. Results go to `out`, errors and
  /// the progress bar to `errors`. Nothing is written when a simulation fails or is interrupted.
  int run(std::FILE* out, std::FILE* errors);

 private:
  struct Entry {
    std::unique_ptr<SimPart> part;
    CLI::App* command;
  };

  void add_all();
  void add_common(CLI::App& command);
  Result<std::vector<p2p::sim::Report>> simulate(p2p::sim::Progress& progress);
  std::string written(const std::vector<p2p::sim::Report>& reports) const;
  /// DIR/index.html; returns its path.
  Result<std::string> write_page(const std::vector<p2p::sim::Report>& reports) const;

  CLI::App* command_ = nullptr;
  CLI::App* all_ = nullptr;
  std::vector<Entry> entries_;
  SimCommon common_;
  bool full_ = false;
  bool json_ = false;
  bool markdown_ = false;
  std::string report_directory_;
};

}  // namespace oxbow::mirror

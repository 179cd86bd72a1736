// Watches a long simulation from a thread of its own: a progress bar on a terminal, and Ctrl-C.
// The first SIGINT or SIGTERM cancels the simulation, which then ends by itself; the second ends the process.
// Thread rule: made and destroyed by the thread that runs the simulation, before it starts threads of its own: these
// must have both signals blocked, as this one has from here on. Lifetime: `progress` and `errors` outlive it.
#pragma once

#include <csignal>
#include <cstdio>
#include <string>
#include <thread>

#include "p2p/sim/runs.h"

namespace oxbow::mirror {

class SimWatch {
 public:
  /// Draws when `bar`, and only on what takes longer than a second.
  SimWatch(p2p::sim::Progress& progress, std::FILE* errors, bool bar);
  ~SimWatch();
  SimWatch(const SimWatch&) = delete;
  SimWatch& operator=(const SimWatch&) = delete;

 private:
  void watch();

  p2p::sim::Progress& progress_;
  std::FILE* errors_;
  bool bar_;
  sigset_t before_{};
  int signals_ = -1;  ///< signalfd
  int ended_ = -1;    ///< eventfd: the simulation has ended
  std::thread thread_;
};

/// "[#####     ]  50 %  phase  about 12 s left"; without a total "phase …".
std::string progress_line(const std::string& phase, std::uint64_t done, std::uint64_t total, double elapsed_s);

}  // namespace oxbow::mirror

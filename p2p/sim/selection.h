// `oxbow sim selection`: whom a client asks, by what it knows and how old that is. Each node asks for stripes at random
// times (Poisson) and picks one of its candidates, all of which have the stripe; a peer sends over its upload slots
// with equal shares of its link, lets some wait and turns others away, as the daemon does. Some peers are slow, some
// die without a word, new ones join. What a client knows is a real PeerTable of its own, refreshed at an interval that
// is swept: then it learns who is a member, publishes what it has measured, and is told each candidate's load.
// Policies: any (uniform); two choices by the load of the last refresh and the own requests since; the lowest expected
// time by the table's EWMAs; and the daemon's rule, SwarmNeighbours::pick, with the load that every answer carries.
// Thread rule: `run_selection` uses threads of its own. Deterministic by seed, whatever their number.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/sim/band.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace oxbow::p2p::sim {

enum class SelectionPolicy : std::uint8_t { kRandom, kTwoChoices, kLatency, kDaemon };
inline constexpr std::array kSelectionPolicies{SelectionPolicy::kRandom, SelectionPolicy::kTwoChoices,
                                               SelectionPolicy::kLatency, SelectionPolicy::kDaemon};
std::string_view to_string(SelectionPolicy policy) noexcept;

struct SelectionOptions {
  std::vector<std::uint32_t> nodes = {64};  ///< each a peer and a client
  std::uint32_t candidates = 32;            ///< of a client
  std::vector<double> refresh_s = {1, 10, 30, 60, 300, 600};
  double load = 0.7;          ///< of all links together, if none were slow
  double stripe_ms = 50;      ///< of one stripe alone on a link
  double slow_share = 0.05;   ///< of the peers
  double slow_factor = 0.1;   ///< of a slow peer's link
  double leaves = 0.01;       ///< of the peers, a minute; as many join
  double timeout_ms = 1'000;  ///< until a dead peer is given up
  double measured_s = 240;    ///< after one refresh interval and a minute to settle
  double probation_share = 0.05;
  double probation_refresh_s = 30;  ///< of the second part, in which
  double probation_leaves = 0.05;   ///< more leave and join, a minute, and
  double probation_slow = 0.2;      ///< more of those that join are slow
  std::uint32_t seeds = 3;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;
};

struct SelectionFigures {
  Band mean_ms;  ///< of a stripe, with all that was tried for it
  Band p50_ms;
  Band p99_ms;
  Band p999_ms;
  Band skew_max;  ///< stripes served by a place with a fast peer throughout: maximum over mean
  Band skew_p99;
  Band dead;      ///< share of picks
  Band stale;     ///< share of picks whose queue was longer than believed, by half the slots or more
  Band busy;      ///< turned away, a stripe
  Band unvetted;  ///< share of picks that were on probation
  Band fair;      ///< share of the candidates that were on probation at those picks
};

struct SelectionCell {
  std::uint32_t nodes = 0;
  SelectionPolicy policy = SelectionPolicy::kRandom;
  double refresh_s = 0;
  double probation_share = 0;
  SelectionFigures figures;
};

struct SelectionResult {
  std::vector<SelectionCell> refreshes;  ///< by nodes, refresh, policy
  std::vector<SelectionCell> probation;  ///< by nodes, policy, with the rule and without
};

/// Errors: kInvalid, kCancelled.
Result<SelectionResult> run_selection(const SelectionOptions& options, Progress& progress);
Report selection_report(const SelectionOptions& options, const SelectionResult& result);

}  // namespace oxbow::p2p::sim

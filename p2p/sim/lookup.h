// `oxbow sim lookup`: what it costs to find who owns a key, and to stay able to: a ring over full membership (the
// daemon's Ring), the seed protocol's fingers (the daemon's FingerTable), Chord (Stoica et al., 2001: iterative, with
// successor lists) and Kademlia (Maymounkov, Mazières, 2002: k = 20, alpha = 3, iterative), without churn and with.
// A look-up costs a round trip for each hop and a time-out for each dead node that is waited for. Nobody learns from
// other look-ups: each sees tables as their periodic upkeep left them.
// Thread rule: `run_lookup` uses threads of its own. Deterministic by seed, whatever their number.
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

struct LookupOptions {
  std::vector<std::uint32_t> nodes = {100, 1'000, 10'000, 100'000};
  std::vector<double> leaves = {0, 0.001, 0.01, 0.1};  ///< of the nodes, a minute; as many join
  std::uint32_t lookups = 2'000;                       ///< a run
  std::uint32_t seeds = 5;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;  ///< 0: one a core
  double round_trip_ms = 0.5;
  double timeout_ms = 1'000;       ///< until a dead node is given up
  std::uint32_t view_ms = 30'000;  ///< full membership is refreshed so often
  std::uint32_t replicas = 3;      ///< ring: so many in order are tried
  std::uint32_t chord_successors = 16;
  std::uint32_t chord_stabilize_ms = 30'000;  ///< also: one finger is looked up anew so often
  std::uint32_t kademlia_k = 20;
  std::uint32_t kademlia_alpha = 3;
  std::uint32_t kademlia_refresh_ms = 600'000;  ///< of each bucket
  std::uint32_t rack_nodes = 32;
  std::uint32_t row_racks = 16;
};

enum class LookupKind : std::uint8_t { kRing, kFingers, kChord, kKademliaValue, kKademliaNode };
inline constexpr std::array kLookupKinds{LookupKind::kRing, LookupKind::kFingers, LookupKind::kChord,
                                         LookupKind::kKademliaValue, LookupKind::kKademliaNode};
std::string_view to_string(LookupKind kind) noexcept;

/// Of one kind, size and churn.
struct LookupFigures {
  Band hops;
  Band hops_p99;
  Band hops_max;
  Band messages;  ///< a look-up
  Band dead;      ///< nodes that were asked and had left, a look-up
  Band failed;    ///< share
  Band other;     ///< share that ended at another owner than fresh views name
  Band ms;        ///< mean
  Band ms_p99;
  Band state;   ///< entries a node
  Band upkeep;  ///< messages a node and minute
};

struct LookupCell {
  std::uint32_t nodes = 0;
  double leaves = 0;
  LookupKind kind = LookupKind::kRing;
  LookupFigures figures;
};

/// By size, churn, kind, in this order. Errors: kInvalid, kCancelled.
Result<std::vector<LookupCell>> run_lookup(const LookupOptions& options, Progress& progress);
Report lookup_report(const LookupOptions& options, const std::vector<LookupCell>& cells);

}  // namespace oxbow::p2p::sim

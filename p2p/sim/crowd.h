// A crowd pulls a blob: discrete events in simulated time, with the daemon's own strategies, coordinators, ring and
// peer table on every node, and the network of p2p/sim/crowd/network.h between them. What is simulated besides: the
// reader's window, upload slots with their short queue, have streams and their lines, announcements, cut-through,
// deaths. Deterministic: the same options give the same run on every machine. Thread rule: a run touches nothing
// shared. Errors: none; a run that does not end by `limit` says how many completed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "p2p/coordinator.h"
#include "p2p/sim/crowd/network.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"
#include "p2p/swarm.h"

namespace oxbow::p2p::sim {

enum class CrowdPolicy : std::uint8_t {
  kSwarm,      ///< the daemon's own,
  kRing,       ///< likewise,
  kFingers,    ///< likewise: requests go along paths of other nodes,
  kSingle,     ///< likewise
  kHierarchy,  ///< rack parent, row parent, owner
  kTree,       ///< a static binary tree a stripe
  kSpegel,     ///< the whole blob from one peer that a DHT names
  kDragonfly,  ///< a central scheduler names 4 of 15 parents
  kKraken,     ///< a tracker, 10 neighbours, pipeline of 3, rarest first
  kGantry,     ///< 8 seeds fetch the blob, the others take it whole from one peer
};
std::string_view to_string(CrowdPolicy policy) noexcept;
std::optional<CrowdPolicy> crowd_policy_of(std::string_view name) noexcept;

struct CrowdOptions {
  CrowdPolicy policy = CrowdPolicy::kSwarm;
  NetworkOptions network;
  std::uint64_t blob_bytes = 1024ULL * 1024 * 1024;  ///< 256 stripes of 4 MiB
  std::uint64_t seed = 1;
  bool check = false;  ///< the invariants at every event: slow, for tests

  // Who wants it, when, and what goes wrong
  double demand = 1;           ///< share of the nodes that want the blob
  Micros apart = 10'000;       ///< they start at random within so long
  double warm = 0;             ///< share of the nodes that have it already
  double slow = 0;             ///< share of the nodes with a tenth of
  bool slow_both = false;      ///< both links; else of the uplink only
  double deaths_a_minute = 0;  ///< share of the nodes that die, without a word
  Micros limit = 3'600'000'000;

  // The daemon's machinery
  bool cut_through = true;
  std::uint32_t upload_slots = 8;
  std::uint32_t same_stripe = 3;                   ///< uploads of one stripe at a time; the others wait; 0: any number
  std::uint32_t in_turn_stripes = kInTurnStripes;  ///< of a blob with at most so many the copies of a stripe go in turn
  Micros turn = std::chrono::microseconds(kTurn).count();
  std::uint32_t upload_waiting = 3;
  Micros slot_wait = 200'000;
  std::uint32_t upstream_slots = 6;  ///< of a node
  std::uint64_t cautious_bytes = 1024ULL * 1024;
  std::uint32_t first_window = 8;     ///< stripes, until the reader has taken `cautious_bytes`
  std::uint32_t window = 64;          ///< stripes, then
  std::uint32_t window_max = 64;      ///< after
  bool window_counts_missing = true;  ///< the window is so many stripes that are not there, else so many in all
  std::uint64_t wide_after_bytes = 64ULL * 1024 * 1024;
  Micros line_every = 20'000;  ///< between two lines of a have stream
  Micros news_within = 1'000;  ///< news of several have streams are handed over together
  std::uint32_t replicas = 3;
  SwarmOptions swarm;
  CoordinatorOptions coordinator;
};

struct CrowdResult {
  std::uint32_t wanted = 0;     ///< nodes that started and did not die
  std::uint32_t completed = 0;  ///< of them
  std::uint32_t died = 0;
  double bound_seconds = 0;  ///< LB of `crowd_bound_seconds`
  double p50 = 0;            ///< completion over the bound, from each node's own start
  double p99 = 0;
  double max = 0;
  double p99_fast = 0;  ///< without the slow nodes
  double max_fast = 0;
  double makespan = 0;    ///< from the first start to the last completion, over the bound
  double upstream = 0;    ///< bytes from upstream over the blob's size
  double moved = 0;       ///< bytes that moved over bytes needed
  double upload_max = 0;  ///< bytes sent by a node, most over mean of the nodes that took part
  double cross_rack = 0;  ///< share of the bytes between peers
  double cross_row = 0;
  double uplink_max = 0;  ///< bytes out of a rack, most over mean
  std::uint64_t events = 0;
  std::uint64_t busy = 0;  ///< refusals for want of a slot
  std::uint64_t hedges = 0;
  std::uint64_t announces = 0;
  std::uint64_t news = 0;  ///< stripes told of on have streams
};

/// LB = max(F/u, F/u_upstream) + F/(S*u) * (ceil(log2(N+1)) - 1): no crowd of N can be faster (docs/simulation.md).
double crowd_bound_seconds(const CrowdOptions& options);

CrowdResult run_crowd(const CrowdOptions& options, Progress* progress = nullptr);

}  // namespace oxbow::p2p::sim

// `oxbow sim topology`: the four shapes of a store that many clients ask, compared: one server; shards on servers of
// their own; shards of r servers; a ring in which the clients are the servers (the daemon's Ring: each key at its r
// ranked holders), and beside it the ring in which every reader serves too, which is what the swarm does.
// Time goes in bursts: each client asks for one key, by popularity, all at once. A server takes so many requests a
// step; who finds no room is told so and asks the key's next holder, and where all are full waits for the next step.
// Thread rule: `run_topology` uses threads of its own. Deterministic by seed, whatever their number.
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

enum class TopologyKind : std::uint8_t { kSingle, kSharded, kReplicated, kRing, kRingReaders };
inline constexpr std::array kTopologyKinds{TopologyKind::kSingle, TopologyKind::kSharded, TopologyKind::kReplicated,
                                           TopologyKind::kRing, TopologyKind::kRingReaders};
std::string_view to_string(TopologyKind kind) noexcept;

struct TopologyOptions {
  std::vector<std::uint32_t> clients = {1, 10, 100, 1'000, 10'000, 100'000};
  std::uint32_t servers = 12;                                         ///< of sharded and replicated
  std::vector<std::uint32_t> failing_servers = {12, 99, 999, 9'999};  ///< what failures are tried on
  std::uint32_t replicas = 3;
  std::uint32_t keys = 10'000;
  bool uniform = false;    ///< all keys alike; else popularity falls with one over the rank
  std::uint32_t work = 8;  ///< requests that a server answers in a step: the daemon's upload slots
  std::uint32_t bursts = 10;
  std::uint32_t trials = 100;  ///< failures of a shard, a run
  double stripe_bytes = 4 << 20;
  double message_bytes = 400;
  std::uint32_t seeds = 5;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;
};

/// Of one topology and number of clients. A request that its client's own copy answers counts with no message.
struct TopologyLoad {
  std::uint32_t clients = 0;
  TopologyKind kind = TopologyKind::kSingle;
  Band messages;  ///< a request
  Band bytes;     ///< moved over the stripe's size, with what fills the servers
  Band hops;      ///< a request: there and back, for each server that was asked
  Band hops_p99;
  Band steps;       ///< until the last of a burst is answered
  Band steps_mean;  ///< until a request is answered
  Band work_max;    ///< requests in a burst for the server with most of them
  Band skew_max;    ///< of all that servers answered: maximum over mean
  Band skew_p99;
};

/// What is lost when servers of one shard fail at once.
struct TopologyFailure {
  std::uint32_t servers = 0;
  TopologyKind kind = TopologyKind::kSingle;
  std::uint32_t killed = 0;  ///< as asked; a shard has no more than it has
  Band lost_keys;            ///< share
  Band lost_requests;        ///< share, by popularity
  Band dead_tries;           ///< servers asked in vain, a request
  Band holder_sets;          ///< different sets of servers that hold a key
  Band any_loss;             ///< probability that as many random servers hold all copies of some key
};

struct TopologyResult {
  std::vector<TopologyLoad> loads;        ///< by clients, kind
  std::vector<TopologyFailure> failures;  ///< by servers, kind, killed; without kRingReaders
};

/// Errors: kInvalid, kCancelled.
Result<TopologyResult> run_topology(const TopologyOptions& options, Progress& progress);
Report topology_report(const TopologyOptions& options, const TopologyResult& result);

}  // namespace oxbow::p2p::sim

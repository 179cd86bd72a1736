// `oxbow sim churn`: what joins and leaves cost. Nodes die without a word and new ones come, membership is told late,
// and pulls go on. A pull is what its way through the cluster is: the look-up at the blob's coordinator and the choice
// of holders (swarm), or the way along fingers to the owner; a dead peer costs the daemon's own time-outs. Bytes have
// no bandwidth here: see `oxbow sim crowd`.
//
// The daemon's own code decides: Ring, PeerSnapshot, PeerHealth (with the prober's rhythm), Coordinator, FingerTable,
// FingerOwner. What is shared, because 10,000 peer tables of 10,000 peers do not fit: the snapshots of members and
// their ring, one for all nodes that know the same view; what a node has found out about another by asking is its own.
// Thread rule: pure functions; `progress` from any thread. Times are milliseconds of the simulation.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace oxbow::p2p::sim {

enum class ChurnStrategy : std::uint8_t { kSwarm, kFingers };
enum class ChurnScenario : std::uint8_t {
  kSteady,   ///< each minute a share of the nodes dies, and as many new ones come with empty caches
  kRack,     ///< a rack dies at once
  kRolling,  ///< all nodes restart, batch after batch: caches stay, soft state goes
};
/// When a holder tells coordinators again what it has, besides every five minutes.
enum class ReannounceRule : std::uint8_t {
  kSettled,  ///< everything, once its view has not changed for two seconds
  kMoved,  ///< what has another coordinator or successor than before, two seconds after each change: the daemon's rule
};
std::string_view to_string(ChurnStrategy strategy) noexcept;
std::string_view to_string(ChurnScenario scenario) noexcept;
std::string_view to_string(ReannounceRule rule) noexcept;

struct ChurnOptions {
  std::uint32_t nodes = 1'000;
  std::uint32_t rack_nodes = 32;
  std::uint32_t row_racks = 16;
  ChurnStrategy strategy = ChurnStrategy::kSwarm;
  ChurnScenario scenario = ChurnScenario::kSteady;
  double rate = 0.01;              ///< of the nodes, a minute (kSteady)
  double batch = 0.01;             ///< of the nodes, at a time (kRolling)
  std::uint32_t down_ms = 20'000;  ///< of a restart
  std::uint32_t stale_ms = 0;      ///< mean age of the views; nodes differ by half of it; 0: within a second
  bool breakers = true;            ///< nodes remember who did not answer, and probe
  ReannounceRule reannounce = ReannounceRule::kMoved;
  std::uint32_t blobs = 500;
  double alpha = 1;                 ///< of their Zipf popularity
  std::uint32_t held_per_node = 8;  ///< blobs in a node's cache at the start
  std::uint32_t pulls = 5'000;      ///< in the measured time; as often before
  std::uint32_t measured_ms = 300'000;
  std::uint32_t pull_ms = 10'000;  ///< from the first to the last byte
  std::uint32_t hop_ms = 1;        ///< a request to a living peer and its answer
};

struct ChurnResult {
  std::uint64_t pulls = 0;
  std::uint64_t hit_dead = 0;    ///< asked a dead peer at least once
  std::uint64_t dead_asked = 0;  ///< requests to dead peers
  std::uint64_t dead_first = 0;  ///< pulls whose coordinator (swarm) or a finger or the owner (fingers) was dead
  std::uint64_t hops = 0;        ///< requests one after the other before the first byte
  std::uint64_t extra_hops = 0;  ///< of them, because one before did not help
  double delay_ms = 0;           ///< to the first byte, summed
  double delay_p50_ms = 0;
  double delay_p99_ms = 0;
  std::uint64_t from_peers = 0;
  std::uint64_t upstream = 0;
  std::uint64_t upstream_needless = 0;  ///< of them, although a living node had the blob
  std::uint64_t late = 0;               ///< no byte within 3 s
  std::uint64_t failed = 0;             ///< none within 30 s
  std::uint64_t source_died = 0;        ///< a source of the pull died while it ran
  std::uint64_t announcements = 0;      ///< of blobs again to coordinators, in the measured time
  std::uint64_t died = 0;
  std::uint64_t came = 0;

  double share(std::uint64_t part) const noexcept {
    return pulls == 0 ? 0 : static_cast<double>(part) / static_cast<double>(pulls);
  }
  bool operator==(const ChurnResult&) const = default;
};

ChurnResult run_churn(const ChurnOptions& options, std::uint64_t seed, Progress* progress = nullptr);

}  // namespace oxbow::p2p::sim

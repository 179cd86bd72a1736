// Bursts of requests against one placement. Part of p2p/sim/topology.
// Thread rule: one thread. Lifetime: placement and popularity outlive it.
#pragma once

#include <unordered_set>
#include <vector>

#include "p2p/sim/popularity.h"
#include "p2p/sim/topology_placement.h"

namespace oxbow::p2p::sim {

class TopologyBursts {
 public:
  /// What all bursts together gave.
  struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t own = 0;  ///< answered by the client's own copy
    std::uint64_t messages = 0;
    std::uint64_t fills = 0;            ///< copies made for the servers, when a key was first asked for
    std::uint64_t steps = 0;            ///< of whole bursts
    std::uint64_t steps_waited = 0;     ///< of all requests
    std::uint64_t work_max = 0;         ///< sum over bursts
    std::vector<double> hops;           ///< by request
    std::vector<std::uint64_t> served;  ///< by server
  };

  TopologyBursts(TopologyKind kind, const TopologyPlacement& placement, const Popularity& popularity,
                 const TopologyOptions& options, std::uint32_t clients, std::uint64_t seed);

  void burst();
  const Counts& counts() const noexcept { return counts_; }

 private:
  struct Request {
    std::uint32_t client;
    std::uint32_t key;
    std::uint32_t asked = 0;  ///< servers, so far
  };
  bool clients_serve() const noexcept { return kind_ == TopologyKind::kRing || kind_ == TopologyKind::kRingReaders; }
  bool readers_serve() const noexcept { return kind_ == TopologyKind::kRingReaders; }
  bool has(std::uint32_t client, std::uint32_t key) const;
  void queue_up(Request& request);
  bool ask_readers(Request& request);
  void spread(std::vector<Request>& waiting);
  void serve(Request& request, std::uint32_t server, std::uint64_t in_step);

  const TopologyKind kind_;
  const TopologyPlacement& placement_;
  const Popularity& popularity_;
  const TopologyOptions& options_;
  const std::uint32_t clients_;
  Random random_;
  std::vector<std::uint32_t> room_;                  ///< by server, in this step
  std::vector<std::uint32_t> taken_;                 ///< by server, in this burst
  std::uint64_t steps_ = 0;                          ///< of this burst
  std::vector<std::vector<std::uint32_t>> readers_;  ///< by key, that hold it and serve
  std::unordered_set<std::uint64_t> reader_of_;      ///< key and client; only asked, never walked
  std::vector<Request> new_readers_;
  std::vector<bool> filled_;
  Counts counts_;
};

}  // namespace oxbow::p2p::sim

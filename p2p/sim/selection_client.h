// One client: its peer table, what it was told of its candidates, and the policy by which it picks one of them.
// Part of p2p/sim/selection.
// Thread rule: one thread. Lifetime: the clock and the metrics outlive it. Peers are known by serial numbers that no
// two ever share.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "p2p/random.h"
#include "p2p/sim/selection.h"
#include "p2p/sim/selection_server.h"
#include "p2p/swarm_neighbours.h"

namespace oxbow::p2p::sim {

using PeerSerial = std::uint32_t;

class SelectionClient {
 public:
  SelectionClient(std::uint32_t number, SelectionPolicy policy, double probation_share, const Clock& clock,
                  MetricsRegistry& metrics);

  const std::vector<PeerSerial>& view() const noexcept { return view_; }
  /// A refresh: the members, and the table's tick.
  void refresh(std::vector<PeerSerial> view);
  /// Part of a refresh.
  void told_load(PeerSerial peer, const Load& load, Time now);
  /// As if it had served enough: for the peers of the beginning.
  void vet(PeerSerial peer, double bytes_per_second);

  struct Pick {
    PeerSerial peer = 0;
    std::uint32_t believed = 0;  ///< its queue, by what this client knows
    bool unvetted = false;
    double unvetted_share = 0;  ///< of the candidates
  };
  std::optional<Pick> pick(Time now, Random& random);

  void served(PeerSerial peer, double first_byte_ms, double bytes_per_second, double whole_rate, const Load& load,
              Time now);
  void was_busy(PeerSerial peer, const Load& load, Time now, Random& random);
  void failed(PeerSerial peer, Time now);

 private:
  struct Candidate {
    PeerSerial serial = 0;
    PeerId id = kNoPeer;
    Load load;  ///< as far as the policy hears of it
    std::uint32_t outstanding = 0;
    Time not_before{0};  ///< turned away or not answered: left alone for a moment
    // By the newest snapshot:
    const Peer* peer = nullptr;
    double expected_ms = 0;  ///< 0: unknown
  };
  Candidate* find(PeerSerial peer);
  void learn(Candidate& candidate, const Load& load, Time now);
  void sync();
  void sync_neighbours();
  bool askable(const Candidate& one, Time now, Random& random) const;
  const Candidate* any(Time now, Random& random) const;
  const Candidate* quickest(Time now, Random& random) const;
  const Candidate* neighbour(Time now, Random& random);

  const SelectionPolicy policy_;
  const double probation_share_;
  PeerTable table_;
  std::vector<PeerSerial> view_;
  std::vector<Candidate> candidates_;
  std::vector<std::uint32_t> eligible_;  ///< places in `candidates_`
  std::shared_ptr<const PeerSnapshot> snapshot_;
  std::uint32_t unvetted_ = 0;  ///< of the eligible
  SwarmNeighbours neighbours_;
  SwarmWindow window_;  ///< one stripe that everybody has
  double typical_ = 0;
};

}  // namespace oxbow::p2p::sim

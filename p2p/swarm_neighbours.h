// The neighbours of a swarm: which stripes they have or are getting from upstream, how fast and how loaded they are,
// and the choice among them. Keeps the count of holders of every stripe as news come, so that no choice looks at all
// neighbours times all stripes. Part of p2p/swarm.
// Thread rule and lifetime: as the strategy that owns it.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "p2p/random.h"
#include "p2p/strategy.h"
#include "p2p/swarm_window.h"

namespace oxbow::p2p {

struct SwarmNeighbour {
  PeerId id = kNoPeer;
  HaveMap have;
  std::vector<std::uint32_t> arriving;  ///< from upstream, at this moment
  bool complete = false;
  bool mapped = false;    ///< its map is known
  bool watched = false;   ///< its have stream is open
  bool away = false;      ///< did not answer: not counted, not asked before `away_until`
  bool ranked = false;    ///< one of the ranked holders of the blob
  bool on_trial = false;  ///< was away and has not brought a stripe since
  Load load;
  Time load_at{0};      ///< when it told its load
  Time asked_since{0};  ///< the first map is awaited since
  Time busy_until{0};
  Time watch_after{0};
  Time away_until{0};
  std::uint32_t away_count = 0;
  std::uint32_t outstanding = 0;
  double goodput = 0;     ///< EWMA, bytes per second of one fetch; 0: unknown
  double latency_ms = 0;  ///< EWMA
  std::uint32_t near = 0;
  bool vetted = true;
};

struct SwarmChoice {
  std::uint32_t place = 0;  ///< of the neighbour
  std::uint32_t stripe = 0;
  bool cut_through = false;  ///< still arriving there
};

class SwarmNeighbours {
 public:
  struct Limits {
    std::uint32_t fetches = 8;   ///< from all peers
    std::uint32_t per_peer = 2;  ///< of them, with many neighbours
    std::uint32_t probes = 16;
    double probation_share = 0.05;
  };

  SwarmNeighbours(std::uint32_t stripes, Limits limits);

  std::size_t size() const noexcept { return all_.size(); }
  std::size_t live() const noexcept { return all_.size() - away_; }
  SwarmNeighbour& at(std::size_t place) { return all_[place]; }
  const SwarmNeighbour& at(std::size_t place) const { return all_[place]; }
  bool any_ranked_lives() const noexcept;
  SwarmNeighbour* find(PeerId id);
  SwarmNeighbour& add(PeerId id);
  void remove(PeerId id);
  /// Somebody to make room: who was away most often; with `random` else any of whom nothing is asked.
  std::optional<PeerId> worst(Random* random) const;

  void apply(SwarmNeighbour& neighbour, const HaveUpdate& update);
  void apply(SwarmNeighbour& neighbour, const StripeNews& news);
  void set_complete(SwarmNeighbour& neighbour);
  void forget_map(SwarmNeighbour& neighbour);
  void forget_stripe(SwarmNeighbour& neighbour, std::uint32_t stripe);
  void set_away(SwarmNeighbour& neighbour, Time until);
  void set_back(SwarmNeighbour& neighbour);

  /// Held, or on its way from upstream, at somebody who answers.
  bool somewhere(std::uint32_t stripe) const noexcept {
    return complete_ > 0 || holders_[stripe] > 0 || arriving_[stripe] > 0;
  }
  bool arriving_somewhere(std::uint32_t stripe) const noexcept { return arriving_[stripe] > 0; }
  std::uint32_t complete() const noexcept { return complete_; }

  /// Peer first, then the stripe. Only among the ranked holders, unless `anybody`.
  std::optional<SwarmChoice> pick(Time now, const SwarmWindow& window, bool anybody, const PeerSnapshot& peers,
                                  double typical, Random& random) const;
  /// Somebody for this very stripe, but not `except`.
  std::optional<SwarmChoice> pick_for(Time now, std::uint32_t stripe, PeerId except, const PeerSnapshot& peers,
                                      double typical, Random& random) const;

 private:
  void came(SwarmNeighbour& neighbour, std::uint32_t stripe);
  void arrives(SwarmNeighbour& neighbour, std::uint32_t stripe);
  void count(const SwarmNeighbour& neighbour, int sign);
  bool askable(const SwarmNeighbour& one, Time now, double typical) const;
  bool useful(const SwarmNeighbour& one, const SwarmWindow& window) const;
  double cost(const SwarmNeighbour& one, const PeerSnapshot& peers, double typical, Random& random) const;
  std::optional<SwarmChoice> choose_stripe(std::uint32_t place, const SwarmWindow& window, Random& random) const;

  const Limits limits_;
  std::vector<SwarmNeighbour> all_;
  std::unordered_map<PeerId, std::uint32_t> places_;
  std::vector<std::uint16_t> holders_;   ///< by stripe, without the complete ones
  std::vector<std::uint16_t> arriving_;  ///< by stripe
  std::uint32_t complete_ = 0;
  std::uint32_t away_ = 0;
};

}  // namespace oxbow::p2p

// The neighbours of a swarm: which stripes they have or are getting from upstream, how fast and how loaded they are,
// and the choice among them. A neighbour is a bit: of every stripe one word says who holds it and one who is getting
// it, so that news are one bit, and who is of use for a window is a few words of arithmetic. Part of p2p/swarm. Thread
// rule and lifetime: as the strategy that owns it.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "p2p/random.h"
#include "p2p/strategy.h"
#include "p2p/swarm_window.h"

namespace oxbow::p2p {

struct alignas(64) SwarmNeighbour {
  // What a choice looks at:
  Time load_at{0};  ///< when it told its load
  Load load;
  std::uint32_t outstanding = 0;
  double goodput = 0;  ///< EWMA, bytes per second of one fetch; 0: unknown
  PeerId id = kNoPeer;
  std::uint32_t near = 0;
  bool vetted = true;
  bool on_trial = false;  ///< was away and has not brought a stripe since
  bool away = false;      ///< did not answer: not counted, not asked before `away_until`
  bool complete = false;
  bool mapped = false;   ///< its map is known
  bool watched = false;  ///< its have stream is open
  bool ranked = false;   ///< one of the ranked holders of the blob
  // The rest:
  Time asked_since{0};  ///< the first map is awaited since
  Time watch_after{0};
  Time away_until{0};
  Time moved_at{0};       ///< when bytes of a fetch came last
  Time denied_until{0};   ///< it said that it has not what it is said to have: until then only its own map counts
  bool barred = false;    ///< stays away: the table of peers does not want it to be asked
  bool broken = false;    ///< away because a connection or a stream broke, not because it stood still
  double latency_ms = 0;  ///< as the table knew it when the peer became a neighbour
  std::uint32_t away_count = 0;
  std::uint32_t arriving = 0;  ///< stripes that it gets from upstream at this moment

  // The coordinator is told that what such a peer has does not count for this node, which takes one announcement; and
  // it may go on saying "complete" for ten minutes. Asking again costs a round trip then, and nothing else is held up.
  static constexpr std::chrono::milliseconds kDeniedFor{10'000};
  bool is_denied(Time now) const noexcept { return now < denied_until; }
};

struct SwarmChoice {
  std::uint32_t place = 0;  ///< of the neighbour
  std::uint32_t stripe = 0;
  bool cut_through = false;  ///< still arriving there
};

class SwarmNeighbours {
 public:
  static constexpr std::size_t kMost = 64;

  struct Limits {
    std::uint32_t fetches;   ///< from all peers
    std::uint32_t per_peer;  ///< of them, with many neighbours
    std::uint32_t probes;    ///< peers compared before one is chosen
    double probation_share;
  };

  SwarmNeighbours(std::uint32_t stripes, Limits limits);

  std::size_t size() const noexcept { return all_.size(); }
  std::size_t live() const noexcept { return all_.size() - static_cast<std::size_t>(std::popcount(away_)); }
  SwarmNeighbour& at(std::size_t place) { return all_[place]; }
  const SwarmNeighbour& at(std::size_t place) const { return all_[place]; }
  bool any_ranked_lives() const noexcept;
  SwarmNeighbour* find(PeerId id);
  std::optional<std::uint32_t> place_of(PeerId id) const;
  /// At most kMost.
  SwarmNeighbour& add(PeerId id);
  void set_ranked(SwarmNeighbour& neighbour, bool ranked);
  void remove(PeerId id);
  /// Somebody to make room: who was away most often; with `random` else any of whom nothing is asked.
  std::optional<PeerId> worst(Random* random) const;

  /// Says whether it has a stripe that it was not known to have.
  bool apply(SwarmNeighbour& neighbour, const HaveUpdate& update);
  bool apply(std::uint32_t place, const StripeNews& news);
  bool complete_at(std::uint32_t place) const noexcept { return (complete_ >> place & 1U) != 0; }
  void set_complete(SwarmNeighbour& neighbour);
  void forget_map(SwarmNeighbour& neighbour);
  void forget_stripe(SwarmNeighbour& neighbour, std::uint32_t stripe);
  void set_away(SwarmNeighbour& neighbour, Time until);
  /// It did not answer: away for at least so long, longer each time in a row.
  void failed(SwarmNeighbour& neighbour, Time now, std::chrono::milliseconds for_at_least);
  /// It had no slot, or not for that stripe: then its load, which came with the answer, shows that some are free.
  /// `stripe_takes`: usually; 0: not known yet.
  void was_busy(SwarmNeighbour& neighbour, Time now, std::chrono::milliseconds stripe_takes, Random& random);
  /// It brought a stripe.
  static void served(SwarmNeighbour& neighbour);
  /// How fast that stripe was, in bytes per second; `typical` is the running median of all of them.
  static void learn_speed(SwarmNeighbour& neighbour, double rate, double& typical);
  /// A stripe that is late has brought so many bytes per second by now. It may never arrive, because somebody else is
  /// faster: without this nobody would learn of a peer that is always hedged that it is slow.
  static void crawls(SwarmNeighbour& neighbour, double rate);
  void set_back(SwarmNeighbour& neighbour);

  /// Held, or on its way from upstream, at somebody who answers.
  bool somewhere(std::uint32_t stripe) const noexcept { return held(stripe) || arriving_somewhere(stripe); }
  /// Whole, at somebody who answers.
  bool held(std::uint32_t stripe) const noexcept { return ((complete_ | stripes_[stripe].held) & ~away_) != 0; }
  /// The same, at somebody who is neither on trial nor has said that it has less than is said of it.
  bool held_by_one_that_serves(std::uint32_t stripe, Time now) const noexcept;
  bool arriving_somewhere(std::uint32_t stripe) const noexcept { return (stripes_[stripe].coming & ~away_) != 0; }
  std::uint32_t complete() const noexcept { return static_cast<std::uint32_t>(std::popcount(complete_ & ~away_)); }

  /// Peer first, then the stripe. Only among the ranked holders, unless `anybody`.
  std::optional<SwarmChoice> pick(Time now, const SwarmWindow& window, bool anybody, const PeerSnapshot& peers,
                                  double typical, Random& random) const;
  /// Somebody for this very stripe, but not `except`.
  std::optional<SwarmChoice> pick_for(Time now, std::uint32_t stripe, PeerId except, bool anybody,
                                      const PeerSnapshot& peers, double typical, Random& random) const;

 private:
  using Places = std::uint64_t;  ///< a bit each
  struct Stripe {
    Places held = 0;    ///< who has it; of the complete ones it may say nothing
    Places coming = 0;  ///< who gets it from upstream
  };

  Places bit(const SwarmNeighbour& one) const noexcept { return Places{1} << (&one - all_.data()); }
  static void put(Places& places, Places bits, bool in) noexcept { places = in ? places | bits : places & ~bits; }
  void set_map(SwarmNeighbour& neighbour, const HaveMap& map);
  std::uint32_t place(const SwarmNeighbour& one) const noexcept {
    return static_cast<std::uint32_t>(&one - all_.data());
  }
  bool came(std::uint32_t place, std::uint32_t stripe);
  void arrives(std::uint32_t place, std::uint32_t stripe);
  Places useful(const SwarmWindow& window) const;
  bool askable(std::uint32_t place, Time now, double typical) const;
  double cost(const SwarmNeighbour& one, const PeerSnapshot& peers, double typical, Random& random) const;
  std::optional<SwarmChoice> choose_stripe(std::uint32_t place, const SwarmWindow& window, Random& random) const;

  const Limits limits_;
  std::vector<SwarmNeighbour> all_;
  // News are most of what comes, so what they look at is kept apart and close together.
  std::vector<PeerId> ids_;  ///< by neighbour
  std::vector<Stripe> stripes_;
  std::vector<std::uint32_t> held_;  ///< by neighbour: stripes of its map
  std::vector<Time> busy_until_;     ///< by neighbour: not asked before
  Places complete_ = 0;
  Places away_ = 0;
  Places mapped_ = 0;
  Places ranked_ = 0;
};

}  // namespace oxbow::p2p

// The default strategy. Stripes come from peers first: pick a peer with room, then a stripe of the window that it has
// and few others do. What no peer has is fetched from upstream under a lease of the blob's coordinator, so that it
// leaves upstream once for the whole cluster. Slow sources are hedged, dead ones left within a second, and with nobody
// to talk to it becomes a plain pull-through cache. `ring` prefers the ranked holders as sources.
// The whole algorithm with its numbers, and what was measured: docs/decisions/0007-swarm.md.
// Thread rule and lifetime: as `Strategy`.
#pragma once

#include <memory>
#include <vector>

#include "p2p/lease_spans.h"
#include "p2p/longest_wait.h"
#include "p2p/random.h"
#include "p2p/running_fetches.h"
#include "p2p/strategy.h"
#include "p2p/swarm_neighbours.h"
#include "p2p/swarm_window.h"

namespace oxbow::p2p {

struct SwarmOptions {
  bool ranked_only = false;                      ///< `ring`
  std::uint32_t peer_fetches = 10;               ///< at a time, a blob
  std::uint32_t per_peer = 2;                    ///< of them from one peer
  std::uint32_t probes = 16;                     ///< useful peers compared before one is chosen
  std::uint32_t neighbours = 40;                 ///< known at most: those that the coordinator names, and alternatives
  std::uint32_t span_stripes = kStripesPerSpan;  ///< of a lease, as the coordinator's
  double hedge_share = 0.05;                     ///< of the blob's bytes may be asked for twice
  double alone_share = 0.05;                     ///< of the blob's stripes without any coordinator
  double probation_share = 0.05;
};

class Swarm final : public Strategy {
 public:
  explicit Swarm(StrategyContext context, SwarmOptions options = {});

  std::vector<Action> on_event(Time now, const Event& event) override;
  void on_events(Time now, std::span<const Event> events, std::vector<Action>& actions) override;
  bool waits_for_news() const noexcept override;

 private:
  struct Running : RunningFetch {
    bool cut_through = false;
    bool unleased = false;
  };
  struct Lease {
    std::uint32_t span = 0;
    Time idle_since{0};  ///< nothing to fetch under it since; 0: in use
  };
  struct Silent {
    PeerId peer = kNoPeer;
    Time until{0};
  };

  // Events (swarm.cc)
  void on(const WindowChanged& event);
  void on(const SlotsFree& event);
  void on(const StripeArrived& event);
  void on(const FetchEnded& event);
  void on(const StripeLost& event);
  void on(const TimerFired& event);
  void on(const PeersChanged& event);
  void on(const Replied& event);
  void on(const HaveChanged& event);
  void on(const HaveNews& event);
  void on(const HaveEnded& event);
  void pause();
  void finish();
  void decide();
  void arm_timer();

  // Peers (swarm_peers.cc)
  bool may_ask_anybody() const;
  void fill_from_peers();
  void fetch_from(const SwarmChoice& choice, FetchId hedge_of);
  void add_neighbour(std::string_view name, bool complete);
  void sync_neighbour(SwarmNeighbour& neighbour);
  void watch(SwarmNeighbour& neighbour);
  void refresh_neighbours();
  void denied(SwarmNeighbour& neighbour);
  void peer_failed(SwarmNeighbour& neighbour, std::chrono::milliseconds for_at_least, bool broken);
  void peer_fetch_ended(const Running& fetch, const FetchEnded& event);
  void stripe_from_peer(const Running& fetch);

  // Time (swarm_timing.cc)
  void check_progress(const FetchProgress& progress);
  bool late(const Running& fetch) const;
  /// Peers have what has not arrived of it.
  bool rest_is_held(const Running& fetch) const;
  double rate_so_far(const Running& fetch) const;
  /// How long this fetch from it may stand still.
  std::chrono::milliseconds patience(const SwarmNeighbour* one, const Running& fetch) const;
  /// Of so many bytes at the typical speed; 0 while none is known.
  std::chrono::milliseconds usual_time(double bytes) const;
  /// Fetches from peers at a time: fewer where they would only wait for one another.
  std::uint32_t most_from_peers() const noexcept;
  void review_crowd();
  void hedge(Running& fetch);
  void cancel(Running& fetch);
  void note_progress();
  /// A peer's answer to a question or a stripe's first byte came after so long.
  void note_wait(std::chrono::milliseconds waited);
  /// A peer from which nothing at all comes for so long is out of reach, whoever coordinates.
  std::chrono::milliseconds silence() const;
  /// The same of the coordinator, whose own answers have to be known.
  std::chrono::milliseconds coordinator_silence() const;

  // Upstream and the coordinator (swarm_leases.cc)
  void choose_coordinator();
  void leave_coordinator(PeerId silent);
  /// Not asked before; 0: it is not known to be silent.
  Time silent_until(PeerId id) const;
  void mark_silent(PeerId id);
  void announce(Interest interest);
  void announce_if_due();
  void reply_from(const AnnounceReply& reply, bool successor);
  /// The coordinator is new because the one before was silent or gone.
  bool takes_over() const;
  std::uint32_t wanters_known() const;
  std::vector<std::uint32_t> spans_to_ask() const;
  std::uint64_t bytes_of_span(std::uint32_t span) const;
  void fetch_under_leases();
  /// For how long nothing may come from anywhere.
  std::chrono::milliseconds patience() const;
  void fetch_alone();
  bool fetch_run(StripeRange run, bool unleased);
  void review_leases();
  bool maps_awaited() const;
  bool missing_everywhere(std::uint32_t stripe) const;
  bool has_lease(std::uint32_t span) const;
  void drop_lease(std::uint32_t span, bool tell);
  void leave_the_stream();
  bool stream_runs() const;
  bool alone() const;
  bool may_ask() const;
  bool runs_ahead();

  std::uint64_t stripe_bytes(std::uint32_t stripe) const { return context_.geometry.stripe(stripe).size(); }
  template <typename T>
  void act(T action) {
    actions_.emplace_back(std::move(action));
  }

  const StrategyContext context_;
  const SwarmOptions options_;
  const LeaseSpans spans_{options_.span_stripes};
  Random random_;
  Time now_{0};
  std::vector<Action> actions_;

  SwarmWindow window_;
  SwarmNeighbours neighbours_;
  std::shared_ptr<const PeerSnapshot> peers_;
  std::vector<PeerId> ranked_;
  RunningFetches<Running> running_;
  FetchId next_id_ = 1;
  bool reading_ = false;  ///< somebody reads
  Time reading_since_{0};
  bool joined_ = false;  ///< the coordinator has been told
  bool may_fetch_ = false;
  bool finished_ = false;

  std::uint32_t from_peers_ = 0;  ///< running peer fetches
  /// Nobody could be asked when last looked at: whoever can bundle news does, until the timer.
  bool in_vain_ = false;
  double typical_ = 0;  ///< running median of the bytes per second of one peer fetch
  /// Fewer fetches at a time, on trial.
  struct Crowd {
    double before = 0;          ///< the typical speed when it began; 0: not now
    std::uint32_t stripes = 0;  ///< since then
    bool in_vain = false;       ///< each was no faster: it is not our link that is slow
  } crowd_;
  double hedge_budget_ = 0;  ///< bytes

  PeerId coordinator_ = kNoPeer;
  QuestionId questions_ = 0;        ///< as many were asked
  QuestionId asked_ = 0;            ///< whose answer is awaited; 0: none's
  QuestionId asked_successor_ = 0;  ///< whose answer a fresh coordinator's lease waits for
  bool successor_done_ = false;
  std::vector<Silent> silent_;
  bool no_coordinator_ = true;  ///< none of the ranked ones answered the last time round
  Time took_over_{0};           ///< when the coordinator last changed because one was silent or gone
  std::uint32_t wanters_ = 0;   ///< as a coordinator said last; without that one, once it is left
  std::uint32_t answers_ = 0;   ///< of this coordinator
  LongestWait waits_;           ///< for answers of the coordinator and first bytes of stripes
  Time next_announce_{0};
  Time last_announce_{0};
  std::uint32_t times_named_ = 0;  ///< replies that named neighbours
  Time last_named_{0};
  std::uint32_t replaced_ = 0;  ///< neighbours that made room for those of this reply
  std::vector<std::uint32_t> last_ask_;
  bool wishes_changed_ = false;  ///< since `last_ask_`, perhaps
  std::vector<std::uint32_t> released_;
  std::vector<Lease> leases_;
  std::vector<std::uint32_t> unspread_;  ///< stripes from upstream that no neighbour has yet
  Time last_spread_{0};                  ///< when a neighbour last got something
  bool holds_back_ = false;
  std::uint32_t upstream_free_ = 0;
  Time upstream_after_{0};  ///< after an error of upstream
  std::chrono::milliseconds upstream_pause_{0};
  double alone_budget_ = 0;  ///< bytes
  Time alone_after_{0};      ///< jittered
  Time last_progress_{0};
  std::uint64_t progress_jitter_ms_ = 0;
  bool whole_only_ = false;  ///< upstream gives the blob from its begin only: one node takes it at a time
  bool stuck_ = false;       ///< nothing has come for so long that it fetches without a lease

  std::optional<Time> timer_;
};

}  // namespace oxbow::p2p

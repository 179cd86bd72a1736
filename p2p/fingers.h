// The seed protocol as a strategy: a stripe is asked for at a finger, which gets it from another, which gets it from
// the owner, and every peer on the way keeps it. The key is a span, so that one lease of the owner is one request to
// upstream: of a span the first stripe goes ahead alone, and tells whether the rest comes from peers or is this node's
// to fetch. What fails is asked for along other fingers, at the owner, at the owner's successor, and last, within a
// budget, at upstream. The rules with their numbers: docs/decisions/0008-fingers.md.
// Thread rule and lifetime: as `Strategy`.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "p2p/finger_table.h"
#include "p2p/longest_wait.h"
#include "p2p/random.h"
#include "p2p/running_fetches.h"
#include "p2p/strategy.h"
#include "p2p/swarm_window.h"

namespace oxbow::p2p {

struct FingersOptions {
  std::uint32_t spread = FingerTable::kSpread;
  std::uint32_t peer_fetches = 8;  ///< at a time, a blob
  std::uint32_t per_span = 3;      ///< of them in one span
  std::uint32_t led_spans = 4;     ///< spans at a time that this node fetches from upstream,
  std::uint32_t crowd_spans = 12;  ///< and about that all who want the blob together fetch
  double hedge_share = 0.05;       ///< of the blob's bytes may be asked for twice
  double alone_share = 0.05;       ///< of the blob's bytes without anybody's lease
};

class Fingers final : public Strategy {
 public:
  explicit Fingers(StrategyContext context, FingersOptions options = {});

  std::vector<Action> on_event(Time now, const Event& event) override;

 private:
  struct Running : RunningFetch {
    std::uint32_t wants = 0;
    bool direct = false;  ///< asked of the owner itself
  };
  enum class Phase : std::uint8_t {
    kUnknown,  ///< one stripe goes ahead
    kShared,   ///< peers have it
    kLed,      ///< this node has the lease of `led`
  };
  struct Span {
    Phase phase = Phase::kUnknown;
    StripeRange led;
    std::unique_ptr<FingerTable> table = nullptr;
    std::uint64_t revision = 0;  ///< of the snapshot under the table
    std::uint32_t rung = 0;      ///< how often the way to it has failed
    Time not_before{0};
    bool exhausted = false;  ///< all the ways have failed
  };
  struct Away {
    PeerId peer = kNoPeer;
    Time until{0};
    bool silent = false;  ///< it does not answer: nor as an owner. Else it is only no good as a finger
  };
  struct Way {
    SourceId source = kNoPeer;
    std::vector<PeerId> path = {};
    bool direct = false;
  };

  // Events (fingers.cc)
  void on(const WindowChanged& event);
  void on(const SlotsFree& event);
  void on(const StripeArrived& event);
  void on(const FetchEnded& event);
  void on(const StripeLost& event);
  void on(const TimerFired& event);
  void on(const PeersChanged& event);
  void on(const Replied& event);
  void on(const HaveChanged&) {}
  void on(const HaveNews&) {}
  void on(const HaveEnded&) {}
  void pause();
  void decide();
  void arm_timer();
  void announce(Interest interest);

  // Which stripe, from whom (finger_ways.cc)
  bool ask_one();
  std::uint32_t led_max() const;
  bool may_ask(std::uint32_t span) const;
  std::vector<std::uint32_t> askable_spans() const;
  std::optional<std::uint32_t> open_stripe(std::uint32_t span) const;
  StripeRange open_run(std::uint32_t stripe, std::uint32_t end) const;
  Running new_fetch(SourceId source, StripeRange stripes, bool direct);
  void ask(std::uint32_t stripe, FetchId hedge_of);
  /// Until an answer has to begin.
  std::chrono::milliseconds patience() const;
  Way way_to(std::uint32_t number, std::uint32_t rung);
  const FingerTable& table_of(std::uint32_t number, Span& span);
  std::optional<PeerId> holder();
  void fetch_led();
  void fetch_alone();
  void fetch_upstream(StripeRange stripes);

  // What fails and what is late (finger_failures.cc)
  void peer_fetch_ended(const Running& fetch, const FetchEnded& event);
  void upstream_fetch_ended(const Running& fetch, const FetchEnded& event);
  void check_progress(const FetchProgress& progress);
  void hedge(FetchId late);
  void cancel(Running& fetch);
  void away(PeerId peer, std::chrono::milliseconds how_long, bool silent);
  bool live(const Peer& peer, bool as_owner) const;

  std::uint64_t bytes_of(StripeRange stripes) const;
  std::uint32_t led() const;
  template <typename T>
  void act(T action) {
    actions_.emplace_back(std::move(action));
  }

  const StrategyContext context_;
  const FingersOptions options_;
  Random random_;
  Time now_{0};
  std::vector<Action> actions_;

  SwarmWindow window_;
  std::map<std::uint32_t, Span> spans_;  ///< those that are wanted
  RunningFetches<Running> running_;
  FetchId next_id_ = 1;
  std::shared_ptr<const PeerSnapshot> peers_;
  std::vector<Away> away_;
  LongestWait waits_;  ///< for answers of peers
  bool reading_ = false;
  bool may_fetch_ = false;
  bool finished_ = false;

  // Who has all of it, by the word of the blob's coordinator: asked before upstream.
  std::vector<PeerId> holders_;
  QuestionId questions_ = 0;  ///< as many were asked
  QuestionId asked_ = 0;      ///< whose answer is awaited; 0: none's
  Time asked_at_{0};
  Time next_announce_{0};
  std::uint32_t silent_coordinators_ = 0;
  std::uint32_t wanters_ = 1;

  std::uint32_t from_peers_ = 0;  ///< running peer fetches
  std::uint32_t upstream_free_ = 0;
  Time upstream_after_{0};  ///< after an error of upstream
  double typical_ = 0;      ///< running mean of the bytes per second of one peer fetch
  double hedge_budget_ = 0;
  double alone_budget_ = 0;
  Time alone_after_{0};
  Time last_progress_{0};
  std::optional<Time> timer_;
};

}  // namespace oxbow::p2p

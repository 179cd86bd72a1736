// The door between the machinery that moves bytes and the code that decides: which stripes of a blob come from which
// source, in which order. A strategy is pure: events and a time go in, actions come out; no I/O, no clock, no threads,
// no randomness but its seed. The daemon and the simulator run the same code.
//
// This is the requester half: one object a blob that is being fetched. The server half, where the wanters, holders and
// leases of a blob meet, is p2p/coordinator.h.
//
// Late binding: whenever there is room for another fetch the strategy is asked, and only then commits stripes to a
// source. No stripe queues behind a slow source.
//
// Thread rule: one thread at a time (the blob's home loop). Lifetime: one object a blob fetch.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"
#include "p2p/peer_table.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

using Time = std::chrono::milliseconds;  ///< since an epoch of the caller's choice

/// Half-open range of stripes.
struct StripeRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t count() const noexcept { return end - begin; }
  bool operator==(const StripeRange&) const = default;
};

/// A source of stripes: `kUpstream` is the registry, everything else a peer.
using SourceId = PeerId;
inline constexpr SourceId kUpstream = kNoPeer;

using FetchId = std::uint64_t;     ///< chosen by the strategy, unique in its life
using QuestionId = std::uint32_t;  ///< likewise

// ---- events ----

/// What this node's readers want now, most urgent first: the union of their windows without what is present. Replaces
/// the previous one. Nothing may be wanted although somebody reads: they have not come far enough yet. Without readers
/// everything under way is to be cancelled.
struct WindowChanged {
  std::vector<StripeRange> wanted;
  bool has_readers = true;
  bool may_fetch = true;  ///< some reader's credential serves at upstream
};
/// How many more fetches `source` can take at this moment. Told of upstream alone: fetches from peers the strategy
/// counts by itself.
struct SlotsFree {
  SourceId source = kUpstream;
  std::uint32_t slots = 0;
};
/// One stripe of a running fetch is in storage.
struct StripeArrived {
  FetchId fetch = 0;
  std::uint32_t stripe = 0;
};
/// A fetch is over. With an error, the stripes of it that have not arrived are free to be assigned again. A peer's
/// errors: kBusy (no slot; `alternatives` it named), kNotFound (does not have it), kCorrupt (bytes that do
/// not fit what is known of them), kUnavailable and kTimeout. Upstream's kOutOfRange: it gives no ranges of this blob.
struct FetchEnded {
  FetchId fetch = 0;
  Result<> outcome;
  std::vector<PeerId> alternatives = {};
  bool lease = false;  ///< `fingers`, with kNotFound: the owner gave this node the right to fetch it from upstream
};
/// A stripe that had arrived turned out wrong or was evicted: it is missing again.
struct StripeLost {
  std::uint32_t stripe = 0;
};
/// Bytes that a running fetch has brought.
struct FetchProgress {
  FetchId fetch = 0;
  std::uint64_t bytes = 0;
  std::chrono::milliseconds since_last{0};  ///< since its last byte (or its start)
};
/// The time asked for by SetTimer has come. `progress`: of each running fetch.
struct TimerFired {
  std::vector<FetchProgress> progress = {};
};
/// The first event of a strategy with peers, and whenever the table changes.
struct PeersChanged {
  std::shared_ptr<const PeerSnapshot> peers;
};
/// A coordinator's answer to a Send, or why there is none.
struct Replied {
  PeerId peer = kNoPeer;
  Result<AnnounceReply> reply;
  QuestionId question = 0;  ///< the Send's
};
/// News from a peer's have stream; `load` may ride on other answers too.
struct HaveChanged {
  PeerId peer = kNoPeer;
  HaveUpdate update;
};
/// The same, of one stripe or a load, without a map: what many have streams tell at once is a flat list of these. The
/// simulator tells news so; the daemon (mirror/peer_links) by HaveChanged alone, as lines come.
struct StripeNews {
  enum class What : std::uint8_t { kHave, kArriving, kLost, kLoad };
  PeerId peer = kNoPeer;
  std::uint32_t stripe = 0;
  What what = What::kHave;
  std::uint16_t used = 0;  ///< with kLoad, as of `Load`
  std::uint16_t slots = 0;
  std::uint16_t waiting = 0;
};
/// Short news of any number of peers, in the order in which they came. Valid during the call.
struct HaveNews {
  std::span<const StripeNews> news;
};
/// A have stream ended: the peer does not know the blob (kNotFound), or is gone.
struct HaveEnded {
  PeerId peer = kNoPeer;
  Error why;
};

using Event = std::variant<WindowChanged, SlotsFree, StripeArrived, FetchEnded, StripeLost, TimerFired, PeersChanged,
                           Replied, HaveChanged, HaveNews, HaveEnded>;

// ---- actions ----

/// For `fingers`: the asked peer gets a stripe that it does not have, and keeps it.
struct Along {
  std::vector<PeerId> path = {};  ///< peers after the asked one, the owner last; empty: the asked one is the owner
  PeerId client = kNoPeer;        ///< who asked first; kNoPeer: this node
  /// So many stripes from this one on `client` would fetch from upstream under one lease; 0: it may not fetch.
  std::uint32_t wants = 0;
  std::chrono::milliseconds deadline{1'000};  ///< until the answer begins
};

/// Fetch `stripes` (contiguous; from a peer always one) from `source`. With `hedge_of`, a late stripe's missing tail is
/// asked for at a second source: its bytes land elsewhere and fill only what is missing in the end; the first to
/// complete ends the other with kCancelled.
struct Fetch {
  FetchId id = 0;
  SourceId source = kUpstream;
  StripeRange stripes;
  std::optional<FetchId> hedge_of = {};
  /// For `fingers`. With it `source` may be this node itself, as owner: then it decides who fetches, or who has it.
  std::optional<Along> along = {};
};
/// Stop a fetch; what has arrived is kept. FetchEnded (kCancelled) follows.
struct CancelFetch {
  FetchId id = 0;
};
/// Fire once at `at`; a later SetTimer replaces it.
struct SetTimer {
  Time at{0};
};
/// Of a coordinator whose answers are not known yet to come sooner. Two coordinators give out two copies, and where a
/// link of 100 Mbit/s is full of stripes an answer takes a second (docs/benchmarks.md).
inline constexpr std::chrono::milliseconds kLongestQuiet{2'500};
/// Tell a coordinator (it may be this node). Replied follows, also to what no answer is needed to. The digest and
/// `know_midstates` are filled in by the machinery.
struct Send {
  PeerId peer = kNoPeer;
  Announce announce;
  QuestionId question = 0;  ///< Replied says it again: answers may overtake each other; 0: none is waited for
  std::chrono::milliseconds quiet = kLongestQuiet;  ///< nothing at all has come from the peer for so long: no answer
};
/// Follow a peer's have stream; HaveChanged and in the end HaveEnded follow.
struct WatchHave {
  PeerId peer = kNoPeer;
};
struct UnwatchHave {
  PeerId peer = kNoPeer;
};

using Action = std::variant<Fetch, CancelFetch, SetTimer, Send, WatchHave, UnwatchHave>;

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::vector<Action> on_event(Time now, const Event& event) = 0;
  /// Events that came at once (the simulator's; the daemon tells one by one). Appends to `actions`. A strategy may
  /// decide once, after the last of them.
  virtual void on_events(Time now, std::span<const Event> events, std::vector<Action>& actions);
  /// Whether it has room, so that news of peers' stripes could make it act. If not, they may wait for the next event.
  virtual bool waits_for_news() const noexcept { return true; }
};

/// What a strategy is made from.
struct StrategyContext {
  Digest digest;
  Geometry geometry;
  HaveMap present;  ///< stripes that are here already
  std::uint64_t seed = 0;
  std::uint32_t replicas = 3;
};

enum class StrategyKind : std::uint8_t { kSwarm, kRing, kFingers, kSingle };
std::string_view to_string(StrategyKind kind) noexcept;
/// Null: this kind is not built in.
std::unique_ptr<Strategy> make_strategy(StrategyKind kind, StrategyContext context);

}  // namespace oxbow::p2p

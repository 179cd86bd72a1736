// The door between the machinery that moves bytes and the code that decides: which stripes of a blob come from which
// source, in which order. A strategy is pure: events and a time go in, actions come out; no I/O, no clock, no threads,
// no randomness but its seed. The daemon and the simulator run the same code.
//
// A strategy has a requester half (this node wants stripes) and a server half (this node answers for others). `single`
// needs only the requester half; strategies with peers add their events and actions to the two variants below.
//
// Late binding: whenever a fetch slot of a source is free the strategy is asked (SlotsFree), and only then commits
// stripes to it. No stripe queues behind a slow source.
//
// Thread rule: one thread at a time (the blob's home loop). Lifetime: one object a blob fetch.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/geometry.h"

namespace oxbow::p2p {

using Time = std::chrono::milliseconds;  ///< since an epoch of the caller's choice

/// Half-open range of stripes.
struct StripeRange {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  std::uint32_t count() const noexcept { return end - begin; }
  bool operator==(const StripeRange&) const = default;
};

/// A source of stripes. `kUpstream` is the registry; peers are numbered from 1 by their place in the peer table.
using SourceId = std::uint32_t;
inline constexpr SourceId kUpstream = 0;

using FetchId = std::uint64_t;  ///< chosen by the strategy, unique in its life

// ---- events ----

/// What this node's readers want now, most urgent first: the union of their windows without what is present. Replaces
/// the previous one. Nothing may be wanted although somebody reads: they have not come far enough yet. Without readers
/// everything under way is to be cancelled.
struct WindowChanged {
  std::vector<StripeRange> wanted;
  bool has_readers = true;
};
/// How many more fetches `source` can take at this moment.
struct SlotsFree {
  SourceId source = kUpstream;
  std::uint32_t slots = 0;
};
/// One stripe of a running fetch is in storage.
struct StripeArrived {
  FetchId fetch = 0;
  std::uint32_t stripe = 0;
};
/// A fetch is over. With an error, the stripes of it that have not arrived are free to be assigned again.
struct FetchEnded {
  FetchId fetch = 0;
  Result<> outcome;
};
/// A stripe that had arrived turned out wrong or was evicted: it is missing again.
struct StripeLost {
  std::uint32_t stripe = 0;
};
/// The time asked for by SetTimer has come.
struct TimerFired {};

using Event = std::variant<WindowChanged, SlotsFree, StripeArrived, FetchEnded, StripeLost, TimerFired>;

// ---- actions ----

/// Fetch `stripes` (contiguous) from `source`.
struct Fetch {
  FetchId id = 0;
  SourceId source = kUpstream;
  StripeRange stripes;
};
/// Stop a fetch; what has arrived is kept. FetchEnded (kCancelled) follows.
struct CancelFetch {
  FetchId id = 0;
};
/// Fire once at `at`; a later SetTimer replaces it.
struct SetTimer {
  Time at{0};
};

using Action = std::variant<Fetch, CancelFetch, SetTimer>;

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual std::vector<Action> on_event(Time now, const Event& event) = 0;
};

}  // namespace oxbow::p2p

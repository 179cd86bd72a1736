// What all ways to find a key's owner have in common: one look-up of one client, and what it costs a node to be ready
// for it. Part of p2p/sim/lookup.
// Thread rule: one thread an object. Lifetime: the history outlives the schemes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "p2p/random.h"
#include "p2p/sim/lookup.h"
#include "p2p/sim/lookup_history.h"

namespace oxbow::p2p::sim {

struct LookupOutcome {
  std::uint32_t hops = 0;      ///< requests that had to wait for one another, and were answered
  std::uint32_t messages = 0;  ///< requests sent; each has an answer where the other lives
  std::uint32_t dead = 0;      ///< of them, to nodes that had left
  bool failed = false;         ///< found nobody
  bool other = false;          ///< found another than the one that fresh views agree about
  double ms = 0;
};

class LookupScheme {
 public:
  virtual ~LookupScheme() = default;
  /// A client of its choice, one that lives.
  virtual LookupOutcome look_up(std::uint64_t key, Random& random) = 0;
  /// Entries that one node keeps; a mean over some.
  virtual double state_entries(Random& random) const = 0;
  /// Requests that a node sends, or news that it gets, a minute, when no one looks anything up. `look_up_messages`:
  /// what a look-up cost here, for those schemes that keep themselves by look-ups.
  virtual double upkeep(double look_up_messages) const = 0;
};

/// The views of full membership at several ages up to `view_ms`, and what a fresh one says: shared by ring and fingers.
struct RingViews;
std::shared_ptr<const RingViews> make_ring_views(const LookupHistory& history, const LookupOptions& options);

std::unique_ptr<LookupScheme> make_ring_scheme(std::shared_ptr<const RingViews> views, const LookupOptions& options);
std::unique_ptr<LookupScheme> make_fingers_scheme(std::shared_ptr<const RingViews> views, const LookupOptions& options,
                                                  std::uint64_t seed);
std::unique_ptr<LookupScheme> make_chord_scheme(const LookupHistory& history, const LookupOptions& options,
                                                std::uint64_t seed);
/// `value`: ends at the first node that holds the key; else when the k closest have answered.
std::unique_ptr<LookupScheme> make_kademlia_scheme(const LookupHistory& history, const LookupOptions& options,
                                                   std::uint64_t seed, bool value);

/// The age of something that is refreshed every `period`, at a node that joined at `joined`: the same for the same
/// `what`.
inline HistoryTime age_of(std::uint64_t what, std::int64_t period_ms, HistoryTime joined) {
  const auto uptime = joined == LookupHistory::kAlways ? period_ms : -std::int64_t{joined};
  const auto most = static_cast<std::uint32_t>(period_ms < uptime ? period_ms : uptime);
  return static_cast<HistoryTime>(Random(what).below(most + 1));
}

}  // namespace oxbow::p2p::sim

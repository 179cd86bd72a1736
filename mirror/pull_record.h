// What the journal says of one pull: the fetch of one blob on this node, or its being given from where it is kept.
// Plain values, copied out of the journal (pull_journal.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/digest.h"

namespace oxbow::mirror {

enum class PullState : std::uint8_t {
  kRunning,
  kVerified,  ///< all of it is here (or was given), and it is what its digest says
  kFailed,
  kLeft,  ///< its readers left before it was complete; what had come is kept
};

enum class PullSource : std::uint8_t { kStorage, kPeer, kUpstream };

/// What first vouched for a stripe's bytes, in the order of strength.
enum class StripeCheck : std::uint8_t {
  kNone,
  kChecksum,  ///< the checksum that its sender or first holder had said
  kLink,      ///< the hash goes on from the midstate before it to the one after it
  kWhole,     ///< the blob's digest
};

/// Bytes of the blob by where they came from. What was replaced counts once, with its last source.
struct PullBytes {
  std::uint64_t storage = 0;
  std::uint64_t peer = 0;
  std::uint64_t upstream = 0;
};

struct PullSummary {
  std::uint64_t id = 0;
  Digest digest;
  std::uint64_t size_bytes = 0;
  std::string registry = {};  ///< of its first reader; empty: it runs for other nodes alone
  std::string repository = {};
  Clock::Wall started;
  std::optional<Clock::Wall> ended = {};
  PullState state = PullState::kRunning;
  std::uint32_t stripes = 0;
  std::uint64_t stripe_bytes = 0;
  std::uint32_t done_stripes = 0;
  PullBytes bytes = {};
  std::uint32_t readers = 0;   ///< that ever took part
  std::uint32_t retries = 0;   ///< requests of stripes that brought nothing of use
  std::uint32_t hedges = 0;    ///< late stripes that were asked of another too
  std::uint32_t replaced = 0;  ///< stripes that were dropped as wrong
  bool kept = true;            ///< false: window mode, nothing of it is on the disk
  std::string error = {};
};

struct PullEvent {
  std::uint32_t stripe = 0;
  std::uint32_t at_ms = 0;  ///< since the pull began, when it had arrived
  std::uint32_t took_ms = 0;
  std::uint32_t bytes = 0;
  PullSource source = PullSource::kUpstream;
  std::string peer = {};  ///< empty unless from a peer
  std::uint32_t retries = 0;
  bool hedged = false;
  StripeCheck check = StripeCheck::kNone;
};

struct PullRecord {
  PullSummary summary;
  /// One character for `map_stripes` stripes: `.` missing, `d` was on disk, `p` peer, `u` upstream, `~` arriving, `x`
  /// being replaced. Where several share one: what is worst of it.
  std::string map = {};
  std::uint32_t map_stripes = 1;
  std::vector<std::pair<std::string, std::uint64_t>> peers = {};  ///< bytes by the name of the sender
  std::vector<PullEvent> events = {};                             ///< oldest first
  std::uint64_t events_dropped = 0;
};

}  // namespace oxbow::mirror

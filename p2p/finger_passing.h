// A hop of a path (`fingers`): what a node decides that is asked to pass a stripe on. The machinery that has the
// requests and their answers is mirror/peer_paths.cc and mirror/blob_forward.cc, and in the simulator p2p/sim/crowd;
// the rules with their reasons: docs/decisions/0008-fingers.md. Thread rule: pure. Errors: none.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "core/error.h"

namespace oxbow::p2p {

/// So often an owner asks again who has a stripe, for one request.
inline constexpr std::uint32_t kOwnerAttempts = 3;

/// A fetch that brings the stripe to the node that is asked for it.
struct StripeComing {
  bool upstream = false;
  bool forward = false;                     ///< for other nodes, outside the strategy
  bool heard = false;                       ///< its answer has begun, and it has not ended
  bool begun = false;                       ///< bytes have come
  std::chrono::milliseconds since_last{0};  ///< since its last byte, or its start
};
/// One for other nodes: it is given up when somebody else asks, or a reader of the node waits.
bool is_stalled(const StripeComing& one) noexcept;

struct HopTurn {
  enum class Kind : std::uint8_t {
    kGive,    ///< it is coming: given on as it comes
    kWait,    ///< for the answer to the request that is under way
    kBegin,   ///< ask the next of the path
    kRefuse,  ///< `why`
  };
  Kind kind = Kind::kBegin;
  Errc why = Errc::kBusy;
  const char* text = "";
  bool give_up = false;  ///< what is under way comes no further: it is to be cancelled
};
/// A stripe that is neither here nor arriving from upstream at this moment. `coming`: what brings it, if anything does.
/// `own`: it is this node itself that the owner gave it to. `may_wait`: for a fetch of this node's own readers.
HopTurn turn_at_hop(const std::optional<StripeComing>& coming, bool own, bool may_wait) noexcept;

/// What a relay does when the next of the path has not given the stripe.
enum class AfterHop : std::uint8_t {
  kAnswer,  ///< says the same
  kNext,    ///< asks the one after it
  kEnd,     ///< cannot be reached from here
};
AfterHop after_hop(Errc why, bool lease) noexcept;

/// Each hop gives up before the one before it does, and whoever is not the last leaves time for the one after it.
std::chrono::milliseconds time_for_next(std::chrono::milliseconds left, bool last) noexcept;

}  // namespace oxbow::p2p

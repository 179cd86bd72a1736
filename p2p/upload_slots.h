// The upload slots of this node: how many stripes it sends to peers at once, of them how many copies of one stripe, and
// how many to one peer. A request that finds none waits a short time, first come first served, and at most so many
// wait; then it is told to go elsewhere. A copy that is complete early is a source early: copies of one stripe that
// share the uplink are all late, and until then nobody else has it (docs/simulation-crowd.md, `same_stripe`). Of a blob
// with few stripes the first holder would send all of them to everybody, so there the copies of a stripe go in turn,
// and who comes meanwhile is told so at once, for it finds another stripe or another source. A peer gets at most half
// of the slots, rounded up, while others are about: one that freezes or is unplugged keeps its slots until its
// connection is cut, and the others go on with the rest. Where nobody else asks, as between two nodes, it may have all:
// half of them would leave the uplink idle. Thread rule: any thread; `acquire` on a loop. Lifetime: slots may outlive
// the object; metrics and clock outlive both.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/task.h"
#include "p2p/load.h"
#include "p2p/peer_table.h"
#include "p2p/protocol/messages.h"

namespace oxbow::p2p {

class UploadSlots {
  struct State;

 public:
  /// Held while a stripe is sent; goes to the first who waits when it is destroyed.
  class Slot {
   public:
    Slot(std::shared_ptr<State> state, PeerId who, std::uint64_t what) noexcept
        : state_(std::move(state)), who_(who), what_(what) {}
    ~Slot();
    Slot(Slot&&) noexcept = default;
    Slot& operator=(Slot&& other) noexcept {
      state_.swap(other.state_);
      std::swap(who_, other.who_);
      std::swap(what_, other.what_);
      return *this;
    }

   private:
    std::shared_ptr<State> state_;
    PeerId who_ = kNoPeer;
    std::uint64_t what_ = kAnything;
  };

  struct Limits {
    std::uint32_t slots;
    std::uint32_t same;     ///< of them for one and the same thing
    std::uint32_t waiting;  ///< requests
  };
  /// Sent any number of times side by side.
  static constexpr std::uint64_t kAnything = 0;
  /// What is to be sent: a number for the stripe. `in_turn`: one copy after the other, whose turn lasts kTurn at most.
  struct What {
    std::uint64_t number = kAnything;
    bool in_turn = false;
  };

  /// Others are about for so long after they asked or had a slot last: they come again within 50 to 150 ms of a
  /// refusal.
  static constexpr std::chrono::milliseconds kAbout{1'000};

  /// `used` shows how many slots are taken. The others count requests that got none: because all were, because too many
  /// copies of the same were on their way, because its asker had its share.
  struct Metrics {
    Gauge& used;
    Counter& all_hits;
    Counter& same_hits;
    Counter& share_hits;
  };
  UploadSlots(Limits limits, Metrics metrics, const Clock& clock);
  ~UploadSlots();

  /// A slot to send `what` to `who`; or nothing when none came free within `wait` or too many wait already, and at once
  /// when it is not its turn.
  Task<std::optional<Slot>> acquire(std::chrono::milliseconds wait, PeerId who, What what);
  Load load() const;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace oxbow::p2p

// The sending end of one peer: upload slots that share its link equally, and a queue before them, as PeerService has.
// Stripes are equally long, so that they end in the order in which they began. Part of p2p/sim/selection.
// Thread rule: one thread. Lifetime: a value. Times are microseconds.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "p2p/protocol/messages.h"

namespace oxbow::p2p::sim {

using Micros = std::int64_t;
using RequestId = std::uint32_t;

class SelectionServer {
 public:
  /// `alone`: a stripe's time on an empty link.
  SelectionServer(Micros alone, std::uint32_t slots, std::uint32_t waiting_max)
      : alone_(alone), slots_(slots), waiting_max_(waiting_max) {}

  enum class Offer : std::uint8_t { kBegun, kWaits, kFull };
  Offer offer(Micros now, RequestId request);
  /// When the next one ends, if nothing changes before.
  std::optional<Micros> next_end() const;
  /// Requires that one ends now. Who leaves its slot.
  RequestId end(Micros now);
  /// Into a free slot: the first that waits.
  std::optional<RequestId> begin_waiting(Micros now);
  /// It has waited too long. False: it does not wait any more.
  bool give_up(RequestId request);
  Load load() const;
  std::uint32_t queue() const { return static_cast<std::uint32_t>(running_.size() + waiting_.size()); }
  const std::deque<RequestId>& waiting() const noexcept { return waiting_; }
  std::deque<RequestId> running() const;
  /// Changes with everything that moves the next end.
  std::uint64_t version() const noexcept { return version_; }

 private:
  struct Running {
    RequestId request;
    double ends_at;  ///< of `shared_`
  };
  void advance(Micros now);
  void check() const;

  Micros alone_;
  std::uint32_t slots_;
  std::uint32_t waiting_max_;
  std::deque<Running> running_;
  std::deque<RequestId> waiting_;
  double shared_ = 0;  ///< stripes that each running one has received since the beginning
  Micros at_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace oxbow::p2p::sim

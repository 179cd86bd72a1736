// The have streams that this node has open to others: so many in all, and so many of them to one peer. They have no end
// of their own, and one peer that opens all there are would leave the others without news.
// Thread rule: any thread. Lifetime: what is counted may outlive the object.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "p2p/peer_table.h"

namespace oxbow::p2p {

class HaveSeats {
 public:
  struct Limits {
    std::uint32_t all;
    std::uint32_t each;  ///< to one peer
  };
  struct Seat {
    std::shared_ptr<void> counted;  ///< held while the stream lives; null: none is free
    bool share_used = false;        ///< of its peer, not of all
  };

  explicit HaveSeats(Limits limits) : limits_(limits) {}

  Seat take(PeerId peer);

 private:
  /// Given back when it is destroyed, by whatever thread ends the stream.
  struct State {
    std::mutex mutex;
    std::uint32_t taken = 0;
    std::unordered_map<PeerId, std::uint32_t> by_peer;
  };
  struct Taken {
    Taken(std::shared_ptr<State> state, PeerId peer) noexcept : state(std::move(state)), peer(peer) {}
    Taken(const Taken&) = delete;
    ~Taken();
    std::shared_ptr<State> state;
    PeerId peer;
  };

  const Limits limits_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace oxbow::p2p

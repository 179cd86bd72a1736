#include "p2p/have_seats.h"

namespace oxbow::p2p {

HaveSeats::Seat HaveSeats::take(PeerId peer) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->taken >= limits_.all) return {};
    auto& own = state_->by_peer[peer];
    if (own >= limits_.each) return {.counted = nullptr, .share_used = true};
    ++own;
    ++state_->taken;
  }
  return {.counted = std::make_shared<Taken>(state_, peer)};
}

HaveSeats::Taken::~Taken() {
  const std::lock_guard lock(state->mutex);
  --state->taken;
  const auto own = state->by_peer.find(peer);
  if (--own->second == 0) state->by_peer.erase(own);
}

}  // namespace oxbow::p2p

// How busy a node is: its upload slots. A value; and what a refusal says that comes with free ones.
#pragma once

#include <chrono>
#include <cstdint>

namespace oxbow::p2p {

/// Upload slots of a node. Rides on every answer.
struct Load {
  std::uint32_t used = 0;
  std::uint32_t slots = 0;
  std::uint32_t waiting = 0;
  bool operator==(const Load&) const = default;
  bool busy() const noexcept { return used >= slots; }
};

/// Of a blob with at most so many stripes the copies of a stripe are sent in turn (upload_slots.h): whoever is refused
/// one while slots are free may ask for another at once. Measured: docs/decisions/0007-swarm.md.
inline constexpr std::uint32_t kInTurnStripes = 64;
/// The next copy begins when the one before it has ended, or was not done within this, for its receiver may be slow or
/// frozen. Six times what a stripe of 512 KiB takes at 200 Mbit/s: with a longer turn a slow receiver holds up all
/// others.
inline constexpr std::chrono::milliseconds kTurn{130};

}  // namespace oxbow::p2p

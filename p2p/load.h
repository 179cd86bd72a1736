// How busy a node is: its upload slots. A value.
#pragma once

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

}  // namespace oxbow::p2p

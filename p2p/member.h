// Who takes part: a member of the cluster as membership and the hello describe it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace oxbow::p2p {

/// Of the peer protocol. Geometry and message formats are fixed by it; a node will speak its newest and the one before.
inline constexpr std::uint32_t kProtocolNewest = 1;
inline constexpr std::uint32_t kProtocolOldest = 1;

struct Member {
  std::string name;                    ///< must be in its certificate's SAN; its hash is its place on the ring
  std::vector<std::string> addresses;  ///< `host:port`, best first
  std::vector<std::string> location;   ///< labels from wide to narrow
  double weight = 1;                   ///< share of the ring relative to others
  std::uint32_t protocol_oldest = kProtocolOldest;
  std::uint32_t protocol_newest = kProtocolNewest;

  bool operator==(const Member&) const = default;
};

/// How many labels two locations share from the wide end: 0 is nothing in common, higher is nearer.
std::uint32_t shared_labels(const std::vector<std::string>& a, const std::vector<std::string>& b) noexcept;

}  // namespace oxbow::p2p

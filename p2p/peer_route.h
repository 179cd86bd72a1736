// Which request of the peer protocol a path is. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/error.h"

namespace oxbow::p2p {

inline constexpr std::string_view kPeerPrefix = "/p2p/v1/";

struct PeerRoute {
  enum class Kind : std::uint8_t { kHello, kAnnounce, kBlob, kStripe, kHave, kKnown, kSmall, kPreheats, kPreheat };
  Kind kind = Kind::kHello;
  std::optional<Digest> digest = {};  ///< kBlob, kStripe, kHave, kSmall
  std::uint32_t stripe = 0;
  std::string registry = {};
  std::string repository = {};
  std::string id = {};  ///< kPreheat
};
std::string_view to_string(PeerRoute::Kind kind) noexcept;

/// `path` as it came, percent-encoded. Errors: kNotFound (no such route), kInvalid, kUnsupported (the digest).
Result<PeerRoute> parse_peer_route(std::string_view path);

}  // namespace oxbow::p2p

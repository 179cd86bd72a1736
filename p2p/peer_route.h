// Which request of the peer protocol a path is, and in which of its versions two nodes talk. Thread rule: pure
// functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/digest.h"
#include "core/error.h"
#include "p2p/member.h"

namespace oxbow::p2p {

/// The same in all versions, for it tells which ones a node speaks.
inline constexpr std::string_view kHelloPath = "/p2p/v1/hello";

struct Versions {
  std::uint32_t oldest = kProtocolOldest;
  std::uint32_t newest = kProtocolNewest;
};
/// The newest that both speak; nothing when there is none.
std::optional<std::uint32_t> common_version(Versions a, Versions b) noexcept;
/// `/p2p/v1/`
std::string peer_prefix(std::uint32_t version);

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

/// `path` as it came, percent-encoded. Errors: kNotFound (no such route, or another version), kInvalid, kUnsupported
/// (the digest).
Result<PeerRoute> parse_peer_route(std::string_view path, Versions spoken = {});

}  // namespace oxbow::p2p

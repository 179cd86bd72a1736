#include "p2p/peer_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/encoding.h"
#include "p2p/protocol/preheat.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxPathBytes = 2'048;

/// Takes the part up to the next `/` off `rest`.
std::string_view take_part(std::string_view& rest) noexcept {
  const auto slash = rest.find('/');
  const auto part = rest.substr(0, slash);
  rest = slash == rest.npos ? std::string_view() : rest.substr(slash + 1);
  return part;
}

Result<PeerRoute> no_route() { return fail(Errc::kNotFound, "no such route of the peer protocol"); }

/// What comes after the prefix of a version that is spoken.
std::optional<std::string_view> after_prefix(std::string_view path, Versions spoken) {
  if (path == kHelloPath) return "hello";
  for (auto version = spoken.oldest; version <= spoken.newest; ++version) {
    const auto prefix = peer_prefix(version);
    if (path.starts_with(prefix)) return path.substr(prefix.size());
  }
  return std::nullopt;
}

Result<PeerRoute> parse_blob_route(std::string_view rest) {
  const auto digest = Digest::parse(take_part(rest));
  if (!digest) return std::unexpected(digest.error());
  if (rest.empty()) return PeerRoute{.kind = PeerRoute::Kind::kBlob, .digest = *digest};
  const auto what = take_part(rest);
  if (what == "have" && rest.empty()) return PeerRoute{.kind = PeerRoute::Kind::kHave, .digest = *digest};
  if (what != "stripes") return no_route();
  PeerRoute route{.kind = PeerRoute::Kind::kStripe, .digest = *digest};
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), route.stripe);
  if (rest.empty() || error != std::errc() || end != rest.data() + rest.size()) {
    return fail(Errc::kInvalid, "a stripe is a decimal number");
  }
  return route;
}

}  // namespace

std::string_view to_string(PeerRoute::Kind kind) noexcept {
  switch (kind) {
    case PeerRoute::Kind::kHello:
      return "hello";
    case PeerRoute::Kind::kAnnounce:
      return "announce";
    case PeerRoute::Kind::kBlob:
      return "blob";
    case PeerRoute::Kind::kStripe:
      return "stripe";
    case PeerRoute::Kind::kHave:
      return "have";
    case PeerRoute::Kind::kKnown:
      return "known";
    case PeerRoute::Kind::kSmall:
      return "small";
    case PeerRoute::Kind::kPreheats:
    case PeerRoute::Kind::kPreheat:
      return "preheat";
  }
  std::unreachable();
}

std::optional<std::uint32_t> common_version(Versions a, Versions b) noexcept {
  const auto newest = std::min(a.newest, b.newest);
  return newest < std::max(a.oldest, b.oldest) ? std::nullopt : std::optional(newest);
}

std::string peer_prefix(std::uint32_t version) { return fmt::format("/p2p/v{}/", version); }

Result<PeerRoute> parse_peer_route(std::string_view path, Versions spoken) {
  if (path.size() > kMaxPathBytes) return no_route();
  const auto relative = after_prefix(path, spoken);
  if (!relative) return no_route();
  const auto decoded = percent_decode(*relative);
  if (!decoded) return fail(Errc::kInvalid, "the path's escapes are broken");
  std::string_view rest = *decoded;
  if (rest == "hello") return PeerRoute{.kind = PeerRoute::Kind::kHello};
  if (rest == "announce") return PeerRoute{.kind = PeerRoute::Kind::kAnnounce};
  if (rest == "preheat") return PeerRoute{.kind = PeerRoute::Kind::kPreheats};
  const auto first = take_part(rest);
  if (first == "preheat") {
    if (!is_preheat_id(rest)) return fail(Errc::kInvalid, "not the id of a preheat");
    return PeerRoute{.kind = PeerRoute::Kind::kPreheat, .id = std::string(rest)};
  }
  if (first == "blobs") return parse_blob_route(rest);
  if (first == "small") {
    const auto digest = Digest::parse(rest);
    if (!digest) return std::unexpected(digest.error());
    return PeerRoute{.kind = PeerRoute::Kind::kSmall, .digest = *digest};
  }
  if (first != "known") return no_route();
  const auto registry = take_part(rest);
  if (registry.empty() || rest.empty()) return no_route();
  return PeerRoute{.kind = PeerRoute::Kind::kKnown, .registry = std::string(registry), .repository = std::string(rest)};
}

}  // namespace oxbow::p2p

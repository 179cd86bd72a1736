#include "mirror/upstream/token.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

constexpr std::chrono::seconds kLeastLife{60};
constexpr std::chrono::seconds kLongestLife{86'400};
constexpr std::size_t kMaxTokenBytes = 48 * 1024;

bool fits_a_header(std::string_view text) {
  return !text.empty() && text.size() <= kMaxTokenBytes &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<Token> parse_token(std::string_view json) {
  const auto root = nlohmann::json::parse(json, nullptr, false);
  if (!root.is_object()) return fail(Errc::kUnavailable, "the token service's answer is not a JSON object");
  Token token;
  for (const auto* key : {"token", "access_token"}) {
    const auto found = root.find(key);
    if (found == root.end() || !found->is_string()) continue;
    token.value = found->get<std::string>();
    if (!token.value.empty()) break;
  }
  if (token.value.empty()) return fail(Errc::kUnavailable, "the token service's answer has no token");
  if (!fits_a_header(token.value)) return fail(Errc::kUnavailable, "the token cannot stand in a header");
  const auto life = root.find("expires_in");
  if (life != root.end() && life->is_number()) {
    const double seconds = life->get<double>();
    const double clamped =
        std::clamp(seconds, static_cast<double>(kLeastLife.count()), static_cast<double>(kLongestLife.count()));
    token.lifetime = std::chrono::seconds(static_cast<std::int64_t>(clamped));
  }
  return token;
}

Result<> check_realm(std::string_view realm, bool registry_is_https) {
  const auto parts = split_url(realm);
  if (!parts) return fail(Errc::kDenied, "the challenge's realm is not a URL");
  if (parts->has_userinfo) return fail(Errc::kDenied, "the challenge's realm holds a user");
  if (registry_is_https && parts->scheme != "https") {
    return fail(Errc::kDenied, "the challenge's realm is plain http: " + parts->origin());
  }
  return {};
}

}  // namespace oxbow::mirror::upstream

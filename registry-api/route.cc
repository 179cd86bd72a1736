#include "registry-api/route.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/encoding.h"

namespace oxbow::registry_api {
namespace {

/// Longer than every name, prefix and digest together, escapes included.
constexpr std::size_t kMaxPathBytes = 4096;

using Components = std::vector<std::string>;

/// Decoded components. Nothing for a broken escape, and for `.` and `..`, which would mean another path to the next
/// proxy.
std::optional<Components> split(std::string_view path) {
  Components components;
  while (true) {
    const auto slash = path.find('/');
    auto component = percent_decode(path.substr(0, slash));
    if (!component || *component == "." || *component == "..") return std::nullopt;
    components.push_back(std::move(*component));
    if (slash == std::string_view::npos) return components;
    path.remove_prefix(slash + 1);
  }
}

std::string join(const Components& components, std::size_t begin, std::size_t end) {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    if (i > begin) out += '/';
    out += components[i];
  }
  return out;
}

/// The endpoint at the right end of `c[begin..]` and how many components it takes; the rest is the name.
struct Endpoint {
  RouteKind kind = RouteKind::kUnknown;
  std::size_t components = 0;
};

Endpoint endpoint_of(const Components& c, std::size_t begin) {
  const std::size_t n = c.size() - begin;
  const auto from_right = [&](std::size_t i) -> const std::string& { return c[c.size() - i]; };
  if (n >= 3) {
    if (from_right(2) == "tags" && from_right(1) == "list") return {RouteKind::kTags, 2};
    if (from_right(2) == "manifests") return {RouteKind::kManifest, 2};
    if (from_right(2) == "referrers") return {RouteKind::kReferrers, 2};
    if (from_right(2) == "blobs" && from_right(1) != "uploads") return {RouteKind::kBlob, 2};
    if (from_right(2) == "blobs") return {RouteKind::kUpload, 2};
  }
  // `/blobs/uploads/` and `/blobs/uploads/<session>`
  if (n >= 4 && from_right(3) == "blobs" && from_right(2) == "uploads") return {RouteKind::kUpload, 3};
  return {};
}

/// What no client sends unescaped; the server in front may be less strict.
bool has_raw_control(std::string_view path) {
  return std::ranges::any_of(path, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
}

bool is_ping(std::string_view path) { return path == "/ping" || path == "/healthz"; }

}  // namespace

Route parse_route(std::string_view raw_path) {
  Route route;
  if (raw_path.empty() || raw_path.front() != '/' || raw_path.size() > kMaxPathBytes || has_raw_control(raw_path)) {
    return route;
  }
  if (is_ping(raw_path)) {
    route.kind = RouteKind::kPing;
    return route;
  }
  const auto components = split(raw_path.substr(1));
  if (!components) return route;
  // The first `v2` is the API's root: a prefix that holds one would have to be configured against its own endpoint.
  const auto root = std::ranges::find(*components, "v2");
  if (root == components->end()) return route;
  const auto root_index = static_cast<std::size_t>(root - components->begin());
  if (std::any_of(components->begin(), root, [](const auto& c) { return c.empty(); })) return route;
  route.prefix = join(*components, 0, root_index);

  const std::size_t begin = root_index + 1;
  const std::size_t rest = components->size() - begin;
  if (rest == 0 || (rest == 1 && components->back().empty())) {
    route.kind = RouteKind::kBase;
    return route;
  }
  if (rest == 1 && components->back() == "_catalog") {
    route.kind = RouteKind::kCatalog;
    return route;
  }
  const auto endpoint = endpoint_of(*components, begin);
  if (endpoint.kind == RouteKind::kUnknown) return route;
  const std::size_t name_end = components->size() - endpoint.components;
  for (std::size_t i = begin; i < name_end; ++i) {
    if ((*components)[i].empty()) return route;
  }
  const bool has_reference = endpoint.kind != RouteKind::kTags && endpoint.kind != RouteKind::kUpload;
  if (has_reference && components->back().empty()) return route;
  route.kind = endpoint.kind;
  route.name = join(*components, begin, name_end);
  if (has_reference) route.reference = components->back();
  return route;
}

}  // namespace oxbow::registry_api

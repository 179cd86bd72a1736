#include "registry-api/platform.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace oxbow::registry_api {
namespace {

constexpr std::size_t kMaxPartBytes = 32;

/// As Go names architectures, which is what images say.
constexpr std::array<std::array<std::string_view, 3>, 10> kKernelNames{{{"x86_64", "amd64", ""},
                                                                        {"x86-64", "amd64", ""},
                                                                        {"aarch64", "arm64", ""},
                                                                        {"armv8l", "arm", "v7"},
                                                                        {"armv7l", "arm", "v7"},
                                                                        {"armhf", "arm", "v7"},
                                                                        {"armv6l", "arm", "v6"},
                                                                        {"armel", "arm", "v6"},
                                                                        {"i386", "386", ""},
                                                                        {"i686", "386", ""}}};

void normalise(Platform& platform) {
  for (const auto& [kernel, go, variant] : kKernelNames) {
    if (platform.architecture != kernel) continue;
    platform.architecture = go;
    if (platform.variant.empty()) platform.variant = variant;
    return;
  }
}

bool is_part(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPartBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

std::string_view variant_of(const Platform& platform) {
  if (!platform.variant.empty()) return platform.variant;
  if (platform.architecture == "arm") return "v7";
  if (platform.architecture == "arm64") return "v8";
  if (platform.architecture == "amd64") return "v1";
  return {};
}

std::optional<int> number_of(std::string_view variant) {
  int number = 0;
  if (!variant.starts_with('v')) return std::nullopt;
  const auto* end = variant.data() + variant.size();
  const auto [at, error] = std::from_chars(variant.data() + 1, end, number);
  return error == std::errc() && at == end && number >= 0 ? std::optional(number) : std::nullopt;
}

}  // namespace

Result<Platform> parse_platform(std::string_view text) {
  std::array<std::string_view, 3> parts;
  std::size_t count = 0;
  for (auto rest = text;; ++count) {
    const auto slash = rest.find('/');
    if (count == parts.size()) return fail(Errc::kInvalid, "a platform is os/architecture or os/architecture/variant");
    parts[count] = rest.substr(0, slash);
    if (!is_part(parts[count])) {
      return fail(Errc::kInvalid, "a platform is os/architecture, like linux/amd64 or linux/arm/v7");
    }
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (count == 0) return fail(Errc::kInvalid, "a platform is os/architecture, like linux/amd64 or linux/arm/v7");
  Platform platform{std::string(parts[0]), std::string(parts[1]), std::string(parts[2])};
  normalise(platform);
  return platform;
}

std::string to_string(const Platform& platform) {
  auto text = platform.os + '/' + platform.architecture;
  if (!platform.variant.empty()) text += '/' + platform.variant;
  return text;
}

Platform own_platform() {
  utsname name{};
  Platform platform{"linux", ::uname(&name) == 0 ? name.machine : "amd64", {}};
  normalise(platform);
  return platform;
}

std::optional<int> fitness(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return std::nullopt;
  const auto want = number_of(variant_of(wanted));
  const auto offer = number_of(variant_of(offered));
  if (want && offer) return *offer <= *want ? std::optional(*offer) : std::nullopt;
  return variant_of(wanted) == variant_of(offered) ? std::optional(0) : std::nullopt;
}

}  // namespace oxbow::registry_api

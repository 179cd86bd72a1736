#include "mirror/install/target.h"

#include <fmt/format.h>

#include <algorithm>

namespace oxbow::mirror::install {
namespace {

/// The address under which this node reaches what listens there.
std::string reachable(std::string_view listen) {
  const auto colon = listen.rfind(':');
  const auto host = listen.substr(0, colon);
  const std::string port(listen.substr(colon));
  if (host.empty() || host == "0.0.0.0" || host == "*") return "127.0.0.1" + port;
  if (host == "[::]") return "[::1]" + port;
  return std::string(listen);
}

/// Only scheme and address: every runtime adds its own path.
Result<std::string> checked(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const auto scheme = url.find("://");
  const auto rest = scheme == std::string::npos ? std::string() : url.substr(scheme + 3);
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || rest.empty() || rest.find_first_of("/?#@\"\\ \t\n") != std::string::npos ||
      std::ranges::any_of(rest, [](char c) { return static_cast<unsigned char>(c) <= 0x20; }))
    return fail(Errc::kInvalid, fmt::format("--mirror {}: write http://host:port or https://host:port", url));
  return url;
}

Result<std::string> mirror_url(const config::Client& client, const std::string& wanted) {
  if (!wanted.empty()) return checked(wanted);
  if (client.listen.empty()) return fail(Errc::kInvalid, "client.listen is empty: give --mirror http://host:port");
  if (!client.tls.certificate.empty()) {
    return fail(Errc::kInvalid,
                "the mirror listens with TLS: say by which name, with --mirror https://NAME:PORT. This node must trust "
                "its certificate");
  }
  return checked("http://" + reachable(client.listen.front()));
}

/// A registry's name becomes the name of a directory, and a key in other people's files.
bool is_plain(std::string_view name) {
  return !name.empty() && name.front() != '.' && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == ':' || c == '_' ||
           c == '[' || c == ']';
  });
}

}  // namespace

Result<Target> make_target(const config::Config& config, const std::string& mirror,
                           const std::vector<std::string>& only) {
  auto url = mirror_url(config.client, mirror);
  if (!url) return std::unexpected(url.error());
  Target out;
  out.mirror = std::move(*url);
  out.any_registry = config.client.allow_any_registry && only.empty();
  out.default_registry = config.client.default_registry;
  for (const auto& registry : config.registries) {
    if (!only.empty() && std::ranges::find(only, registry.name) == only.end()) continue;
    if (!is_plain(registry.name))
      return fail(Errc::kInvalid, fmt::format("the registry name \"{}\" is not host or host:port", registry.name));
    out.registries.push_back({registry.name, registry.aliases});
  }
  for (const auto& name : only) {
    if (std::ranges::find(out.registries, name, &Target::Registry::name) == out.registries.end())
      return fail(Errc::kInvalid,
                  fmt::format("--registry {}: no such registry is configured; see \"oxbow config show\"", name));
  }
  if (out.registries.empty() && !out.any_registry) return fail(Errc::kInvalid, "no registry is configured");
  return out;
}

}  // namespace oxbow::mirror::install

#include "registry-api/namespace_choice.h"

#include <algorithm>
#include <array>

#include "core/encoding.h"

namespace oxbow::registry_api {
namespace {

/// Hosts that clients and old configurations use for Docker Hub.
constexpr std::array<std::string_view, 4> kDockerHub{"docker.io", "index.docker.io", "registry-1.docker.io",
                                                     "registry.hub.docker.com"};

std::string normalise(std::string_view host) {
  auto out = to_lower(host);
  if (out.ends_with(":443")) out.resize(out.size() - 4);
  return out;
}

struct Split {
  std::string_view first;
  std::string_view rest;  ///< empty: there is only one component
};

Split split_first(std::string_view name) {
  const auto slash = name.find('/');
  if (slash == std::string_view::npos) return {name, {}};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

bool is_port(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_dns_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > 253) return false;
  char before = '.';
  for (const char c : text) {
    const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alnum && c != '.' && c != '-' && c != '_') return false;
    if (!alnum && before == '.') return false;  // also an empty label
    before = c;
  }
  return before != '.' && before != '-';
}

}  // namespace

bool is_docker_hub(std::string_view host) noexcept {
  return std::ranges::any_of(kDockerHub, [&](std::string_view name) { return iequals(name, host); });
}

bool is_plausible_host(std::string_view text) noexcept {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || close < 3 || close > 46) return false;
    const auto address = text.substr(1, close - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    const auto rest = text.substr(close + 1);
    return rest.empty() || (rest.front() == ':' && is_port(rest.substr(1)));
  }
  const auto colon = text.find(':');
  const auto host = text.substr(0, colon);
  if (!is_dns_name(host)) return false;
  if (colon != std::string_view::npos) return is_port(text.substr(colon + 1));
  return host.find('.') != std::string_view::npos || iequals(host, "localhost");
}

RegistryNames::RegistryNames(const std::vector<RegistryName>& registries, std::string_view default_registry,
                             bool allow_any)
    : allow_any_(allow_any) {
  for (std::size_t i = 0; i < registries.size(); ++i) by_name_.emplace(normalise(registries[i].name), i);
  for (std::size_t i = 0; i < registries.size(); ++i) {
    for (const auto& alias : registries[i].aliases) by_name_.emplace(normalise(alias), i);
  }
  for (const auto name : kDockerHub) {
    if (const auto found = by_name_.find(std::string(name)); found != by_name_.end() && !docker_hub_) {
      docker_hub_ = found->second;
    }
  }
  if (docker_hub_) {
    for (const auto name : kDockerHub) by_name_.emplace(std::string(name), *docker_hub_);
  }
  if (!default_registry.empty()) default_ = find(default_registry);
}

std::optional<std::size_t> RegistryNames::find(std::string_view host) const {
  const auto found = by_name_.find(normalise(host));
  return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

std::string RegistryNames::repository_at(std::size_t registry, std::string_view name) const {
  const bool official = docker_hub_ == registry && name.find('/') == std::string_view::npos;
  return official ? "library/" + std::string(name) : std::string(name);
}

RegistryChoice RegistryNames::by_namespace(std::string_view ns, std::string_view name) const {
  using How = RegistryChoice::How;
  if (const auto registry = find(ns)) {
    // With override_path a hosts.toml may name the registry a second time: /v2/ghcr.io/<repository>?ns=ghcr.io.
    const auto [first, rest] = split_first(name);
    if (!rest.empty() && find(first) == registry) name = rest;
    return {How::kNamespace, registry, {}, repository_at(*registry, name)};
  }
  if (allow_any_ && is_plausible_host(ns)) return {How::kNamespace, std::nullopt, normalise(ns), std::string(name)};
  return {};
}

RegistryChoice RegistryNames::choose(std::optional<std::string_view> ns, std::string_view prefix,
                                     std::string_view name) const {
  using How = RegistryChoice::How;
  if (ns && !ns->empty()) return by_namespace(*ns, name);

  // A prefix is the work of a hosts.toml or a proxy in front: its components that name no registry mean nothing.
  for (auto rest = prefix; !rest.empty();) {
    const auto [component, after] = split_first(rest);
    if (const auto registry = find(component)) return {How::kPath, registry, {}, repository_at(*registry, name)};
    if (is_plausible_host(component)) {
      if (!allow_any_) return {};
      return {How::kPath, std::nullopt, normalise(component), std::string(name)};
    }
    rest = after;
  }

  const auto [first, rest] = split_first(name);
  if (!rest.empty()) {
    if (const auto registry = find(first)) return {How::kPath, registry, {}, repository_at(*registry, rest)};
    if (is_plausible_host(first)) {
      if (allow_any_) return {How::kPath, std::nullopt, normalise(first), std::string(rest)};
      // Docker Hub has no dots in a name's first component, and no repository has a port: this means a registry that we
      // do not mirror. Elsewhere `my.team/app` may be a repository of the default registry.
      const bool is_host_for_sure = first.find(':') != std::string_view::npos || !default_ || default_ == docker_hub_;
      if (is_host_for_sure) return {};
    }
  }
  return {How::kUnspecified, std::nullopt, {}, std::string(name)};
}

RegistryChoice RegistryNames::default_choice(std::string_view name) const {
  if (!default_) return {};
  return {RegistryChoice::How::kDefault, default_, {}, repository_at(*default_, name)};
}

}  // namespace oxbow::registry_api

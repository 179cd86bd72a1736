#include "config/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "config/checks.h"
#include "core/encoding.h"

namespace oxbow::config {
namespace {

void error(Problems& out, std::string key, std::string message) {
  out.push_back({std::move(key), std::move(message), false});
}
void warning(Problems& out, std::string key, std::string message) {
  out.push_back({std::move(key), std::move(message), true});
}

std::string registry_path(std::size_t index) { return fmt::format("registry[{}]", index); }

void validate_credential_source(const Registry& registry, const std::string& path, Problems& out) {
  const auto& source = registry.credential_source;
  const bool kubelet = !source.kubelet_provider_bin_dir.empty() || !source.kubelet_provider_config.empty();
  const bool password = !source.username.empty() || !source.password_file.empty();
  const int kinds = int(!source.docker_config.empty()) + int(!source.helper.empty()) + int(kubelet) + int(password);
  const auto key = path + ".credential_source";
  if (kinds > 1) {
    error(out, key, "names more than one source; keep one of docker_config, helper, kubelet_provider, username");
  }
  if (kubelet && (source.kubelet_provider_bin_dir.empty() || source.kubelet_provider_config.empty())) {
    error(out, key + ".kubelet_provider", "needs both bin_dir and config");
  }
  if (password && (source.username.empty() || source.password_file.empty())) {
    error(out, key + ".username", "username and password_file are needed together");
  }
  if (kinds > 0 && registry.credentials == Credentials::kClient) {
    warning(out, key, fmt::format("is not used: credentials of {} is \"client\"", registry.name));
  }
}

/// Every name of every registry once: two registries with one name would make the answer depend on the order.
void validate_names(const Config& config, Problems& out) {
  std::map<std::string, std::size_t> owner;
  for (std::size_t i = 0; i < config.registries.size(); ++i) {
    const auto& registry = config.registries[i];
    const auto claim = [&](const std::string& name, const std::string& key) {
      const auto [held, inserted] = owner.emplace(to_lower(name), i);
      if (inserted || held->second == i) return;
      error(out, key, fmt::format("\"{}\" is already a name of {}", name, config.registries[held->second].name));
    };
    claim(registry.name, registry_path(i) + ".name");
    for (const auto& alias : registry.aliases) claim(alias, registry_path(i) + ".aliases");
  }
  const auto& name = config.client.default_registry;
  if (!name.empty() && !owner.contains(to_lower(name))) {
    error(out, "client.default_registry",
          fmt::format("\"{}\" is not a configured registry; write the name of one, or \"\" for none", name));
  }
}

bool reachable_from_outside(const Client& client) {
  for (const auto& listen : client.listen) {
    if (!is_loopback(listen)) return true;
  }
  return false;
}

}  // namespace

void validate(const Client& client, Problems& out) {
  if (client.listen.empty()) error(out, "client.listen", "must name at least one address");
  if (client.tls.certificate.empty() != client.tls.key.empty()) {
    error(out, client.tls.key.empty() ? "client.tls.certificate" : "client.tls.key",
          "client.tls.certificate and client.tls.key are needed together");
  }
}

void validate(const Storage& storage, Problems& out) {
  if (storage.directory.empty()) error(out, "storage.directory", "must not be empty");
  const auto is_zero = [](const Amount& amount) { return amount.is_percent ? amount.percent == 0 : amount.bytes == 0; };
  if (is_zero(storage.budget)) error(out, "storage.budget", "must be more than nothing");
  if (storage.budget.is_percent && storage.free_space_floor.is_percent &&
      storage.budget.percent + storage.free_space_floor.percent > 100) {
    warning(out, "storage.budget", "together with storage.free_space_floor is more than the whole file system");
  }
}

void validate(const Registry& registry, const std::string& path, Problems& out) {
  if (registry.name.empty()) error(out, path, "must have a name");
  if (registry.client_certificate.empty() != registry.client_key.empty()) {
    error(out, path + ".client_certificate", "client_certificate and client_key are needed together");
  }
  validate_credential_source(registry, path, out);
  if (registry.tags_via == TagsVia::kOwner) {
    error(out, path + ".tags_via", "\"owner\" needs peers, which this version does not have; write \"self\"");
  }
  if (registry.allow.empty()) warning(out, path + ".allow", "is empty: nothing of this registry is mirrored");
  const bool plain =
      std::ranges::any_of(registry.upstreams, [](const auto& url) { return url.starts_with("http://"); });
  if (plain && registry.credentials == Credentials::kNode && !registry.credential_source.empty()) {
    warning(out, path + ".upstreams", "sends the node's credentials over plaintext http");
  }
}

void validate(const Peer& peer, Problems& out) {
  const auto& tls = peer.tls;
  const bool any = !tls.ca.empty() || !tls.certificate.empty() || !tls.key.empty();
  const bool all = !tls.ca.empty() && !tls.certificate.empty() && !tls.key.empty();
  if (any && !all) error(out, "peer.tls.ca", "peer.tls needs ca, certificate and key together");
  if (any && tls.insecure) error(out, "peer.tls.insecure", "contradicts the certificates of peer.tls");
}

void validate(const Membership& membership, Problems& out) {
  if (!membership.peers.empty() && membership.provider != MembershipProvider::kStatic) {
    error(out, "membership.peers", "is for the static provider only");
  }
}

void validate(const Routing& routing, Problems& out) {
  if (routing.strategy == "single") return;
  const bool known = routing.strategy == "swarm" || routing.strategy == "ring" || routing.strategy == "fingers";
  error(out, "routing.strategy",
        known ? fmt::format("\"{}\" is not available in this version; write \"single\"", routing.strategy)
              : fmt::format("\"{}\" is not a strategy; write \"single\"", routing.strategy));
}

void validate(const Limits& limits, Problems& out) {
  if (limits.ranges > 1 && limits.header_bytes < limits.ranges * std::uint64_t{24}) {
    warning(out, "limits.header_bytes", "is too small for limits.ranges: the header of such a request does not fit");
  }
}

Problems validate(const Config& config) {
  Problems out;
  validate(config.client, out);
  validate(config.storage, out);
  for (std::size_t i = 0; i < config.registries.size(); ++i) validate(config.registries[i], registry_path(i), out);
  validate(config.peer, out);
  validate(config.membership, out);
  validate(config.routing, out);
  validate(config.limits, out);
  validate_names(config, out);
  if (!config.membership.peers.empty() && config.routing.strategy == "single") {
    warning(out, "membership.peers", "is not used: routing.strategy is \"single\"");
  }
  if (config.registries.empty() && !config.client.allow_any_registry) {
    warning(out, "client.builtin_registries", "no registry is configured: every request gets 404");
  }
  if (reachable_from_outside(config.client)) {
    for (std::size_t i = 0; i < config.registries.size(); ++i) {
      if (config.registries[i].credentials != Credentials::kNode || config.registries[i].credential_source.empty())
        continue;
      warning(out, registry_path(i) + ".credentials",
              fmt::format("everybody who reaches client.listen may read what this node may read at {}",
                          config.registries[i].name));
    }
  }
  return out;
}

}  // namespace oxbow::config

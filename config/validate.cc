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

/// What the ring needs, and what has no effect without it.
void validate_ring(const Config& config, Problems& out) {
  const auto& peer = config.peer;
  const bool members = !config.membership.peers.empty() || config.membership.provider != MembershipProvider::kStatic;
  if (!has_peers(config)) {
    if (members && config.routing.strategy == Strategy::kSingle) {
      warning(out, "membership.provider", "is not used: routing.strategy is \"single\"");
    } else if (members) {
      error(out, "peer.listen", "is needed to have peers: the address on which they reach this node");
    }
    for (std::size_t i = 0; i < config.registries.size(); ++i) {
      if (config.registries[i].tags_via == TagsVia::kOwner)
        warning(out, registry_path(i) + ".tags_via", "\"owner\" has no effect without peers");
    }
    return;
  }
  if (peer.tls.ca.empty() && !peer.tls.insecure) {
    error(out, "peer.tls.ca",
          "peers need certificates (`oxbow ca create` makes a CA, `oxbow ca issue` a node's certificate), or "
          "peer.tls.insecure = true where everybody on the network is trusted");
  }
  if (!members) warning(out, "membership.peers", "is empty: this node has no peers yet");
  if (is_loopback(peer.listen) && peer.advertise.empty() && members) {
    warning(out, "peer.listen", "is a loopback address: peers on other hosts cannot reach it");
  }
  // The other providers' lists say where a node is reached.
  const auto& told = advertised(peer);
  if (config.membership.provider == MembershipProvider::kEtcd && !can_be_connected_to(told)) {
    error(out, "peer.advertise",
          fmt::format("is needed: this node would be registered as \"{}\", where no peer can reach it", told));
  }
  if (peer.weight < kRingWeightMin || peer.weight > kRingWeightMax) {
    warning(out, "peer.weight",
            fmt::format("counts as {}: the ring has room for weights from {} to {}",
                        std::clamp(peer.weight, kRingWeightMin, kRingWeightMax), kRingWeightMin, kRingWeightMax));
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
  using enum MembershipProvider;
  const auto only_for = [&](bool is_set, MembershipProvider provider, std::string_view key, std::string_view name) {
    if (is_set && membership.provider != provider)
      warning(out, fmt::format("membership.{}", key), fmt::format("is not used: it is for the {} provider", name));
    if (!is_set && membership.provider == provider && provider != kStatic)
      error(out, fmt::format("membership.{}", key), fmt::format("is needed by the {} provider", name));
  };
  only_for(!membership.peers.empty(), kStatic, "peers", "static");
  only_for(!membership.path.empty(), kFile, "path", "file");
  only_for(!membership.name.empty(), kDns, "name", "dns");
  only_for(!membership.endpoints.empty(), kEtcd, "endpoints", "etcd");
  if (!membership.api_server.empty() && membership.provider != kKubernetes)
    warning(out, "membership.api_server", "is not used: it is for the kubernetes provider");
  if (!membership.namespace_name.empty() && membership.provider != kKubernetes)
    warning(out, "membership.namespace", "is not used: it is for the kubernetes provider");
  if (membership.provider == kKubernetes) {
    for (const auto& [value, key] :
         {std::pair(&membership.service, "service"), std::pair(&membership.config_map, "config_map"),
          std::pair(&membership.account_directory, "account_directory")}) {
      if (value->empty()) error(out, fmt::format("membership.{}", key), "is needed by the kubernetes provider");
    }
  }
  if (membership.tls.certificate.empty() != membership.tls.key.empty()) {
    error(out, "membership.tls.certificate", "certificate and key are needed together");
  }
  if (membership.username.empty() != membership.password_file.empty()) {
    error(out, "membership.username", "username and password_file are needed together");
  }
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
  validate(config.limits, out);
  validate_names(config, out);
  validate_ring(config, out);
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

#include "config/config.h"

#include "config/schema.h"
#include "core/encoding.h"

namespace oxbow::config {
namespace {

Registry named(Registry registry, std::string_view name) {
  registry.name = to_lower(name);
  registry.upstreams = {"https://" + registry.name};
  return registry;
}

Registry unnamed() {
  Registry registry;
  for (const auto& option : registry_options()) option.reset(registry);
  return registry;
}

}  // namespace

Registry default_registry_entry(std::string_view name) { return named(unnamed(), name); }

std::vector<Registry> builtin_registries() {
  const auto unset = unnamed();
  std::vector<Registry> out;
  out.push_back(named(unset, "docker.io"));
  out.front().upstreams = {"https://registry-1.docker.io"};
  out.front().aliases = {"registry-1.docker.io", "index.docker.io", "registry.hub.docker.com"};
  for (const std::string_view host :
       {"ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "mcr.microsoft.com", "public.ecr.aws", "nvcr.io",
        "registry.gitlab.com", "registry.access.redhat.com", "docker.elastic.co"}) {
    out.push_back(named(unset, host));
  }
  return out;
}

Config defaults() {
  Config config;
  for (const auto& option : section_options()) option.reset(config);
  config.registries = builtin_registries();
  return config;
}

const std::string& advertised(const Peer& peer) noexcept {
  return peer.advertise.empty() ? peer.listen : peer.advertise;
}

bool has_peers(const Config& config) noexcept {
  return !config.peer.listen.empty() && config.routing.strategy != Strategy::kSingle;
}

}  // namespace oxbow::config

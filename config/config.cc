#include "config/config.h"

#include "config/schema.h"
#include "core/encoding.h"

namespace oxbow::config {
namespace {

Registry public_registry(std::string_view name, std::string_view host) {
  auto registry = default_registry_entry(name);
  registry.upstreams = {"https://" + std::string(host)};
  return registry;
}

}  // namespace

Registry default_registry_entry(std::string_view name) {
  Registry registry;
  for (const auto& option : registry_options()) option.reset(registry);
  registry.name = to_lower(name);
  registry.upstreams = {"https://" + registry.name};
  return registry;
}

std::vector<Registry> builtin_registries() {
  std::vector<Registry> out;
  out.push_back(public_registry("docker.io", "registry-1.docker.io"));
  out.front().aliases = {"registry-1.docker.io", "index.docker.io", "registry.hub.docker.com"};
  for (const std::string_view host :
       {"ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "mcr.microsoft.com", "public.ecr.aws", "nvcr.io",
        "registry.gitlab.com", "registry.access.redhat.com", "docker.elastic.co"}) {
    out.push_back(public_registry(host, host));
  }
  return out;
}

Config defaults() {
  Config config;
  for (const auto& option : section_options()) option.reset(config);
  config.registries = builtin_registries();
  return config;
}

}  // namespace oxbow::config

#include "mirror/upstream_options.h"

namespace oxbow::mirror {
namespace {

upstream::CredentialSource credential_source(const config::CredentialSource& source) {
  if (!source.docker_config.empty()) return upstream::DockerConfigSource{source.docker_config};
  if (!source.helper.empty()) return upstream::HelperSource{source.helper};
  if (!source.kubelet_provider_config.empty()) {
    return upstream::KubeletProviderSource{source.kubelet_provider_bin_dir, source.kubelet_provider_config};
  }
  if (!source.username.empty()) return upstream::PasswordFileSource{source.username, source.password_file};
  return {};
}

}  // namespace

upstream::UpstreamConfig upstream_options(const config::Registry& registry) {
  upstream::UpstreamConfig upstream;
  upstream.name = registry.name;
  upstream.urls = registry.upstreams;
  upstream.credentials = credential_source(registry.credential_source);
  upstream.ca_file = registry.ca;
  upstream.client_certificate = registry.client_certificate;
  upstream.client_key = registry.client_key;
  upstream.proxy = registry.proxy;
  upstream.max_connections = registry.max_connections;
  upstream.bandwidth_bytes_per_s = registry.bandwidth;
  upstream.connect_timeout = registry.connect_timeout;
  upstream.no_progress_timeout = registry.no_progress_timeout;
  return upstream;
}

}  // namespace oxbow::mirror

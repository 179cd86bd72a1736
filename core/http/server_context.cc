#include "core/http/server_context.h"

namespace oxbow::http {
namespace {

Counter& sent_counter(MetricsRegistry& registry, const std::string& server, const std::string& protocol) {
  return counter_family(registry, "oxbow_http_bytes_sent_total", "Bytes written to HTTP connections, before TLS")
      .Add({{"server", server}, {"protocol", protocol}});
}

}  // namespace

LimitCounters::LimitCounters(MetricsRegistry& registry)
    : connections(limit_counter(registry, "http.connections")),
      header_bytes(limit_counter(registry, "http.header_bytes")),
      request_body_bytes(limit_counter(registry, "http.request_body_bytes")),
      header_timeout(limit_counter(registry, "http.header_timeout")),
      idle_timeout(limit_counter(registry, "http.idle_timeout")),
      send_timeout(limit_counter(registry, "http.send_timeout")),
      tls_timeout(limit_counter(registry, "http.tls_timeout")),
      linger(limit_counter(registry, "http.linger")),
      h2_bodies_bytes(limit_counter(registry, "http.h2_bodies_bytes")),
      h2_streams(limit_counter(registry, "http.h2_streams")),
      h2_resets_per_second(limit_counter(registry, "http.h2_resets_per_second")),
      h2_control_frames(limit_counter(registry, "http.h2_control_frames")) {}

ServerContext::ServerContext(ServerConfig server_config, Handler& request_handler, MetricsRegistry& registry)
    : config(std::move(server_config)),
      handler(request_handler),
      limits(registry),
      connections_gauge(
          gauge_family(registry, "oxbow_http_connections", "Open HTTP connections").Add({{"server", config.name}})),
      sent_h1(sent_counter(registry, config.name, "h1")),
      sent_h2(sent_counter(registry, config.name, "h2")) {}

}  // namespace oxbow::http

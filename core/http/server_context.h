// What all connections of one server share.
// Thread rule: counters from any thread; the rest is fixed after the server was created.
#pragma once

#include <atomic>
#include <memory>

#include "core/http/handler.h"
#include "core/http/server.h"
#include "core/http/tls_context.h"
#include "core/metrics.h"

namespace oxbow::http {

/// One counter a limit: `oxbow_limit_hits_total{limit="http.<name>"}`.
struct LimitCounters {
  explicit LimitCounters(MetricsRegistry& registry);

  Counter& connections;
  Counter& header_bytes;
  Counter& request_body_bytes;
  Counter& header_timeout;
  Counter& idle_timeout;
  Counter& send_timeout;
  Counter& tls_timeout;
  Counter& linger;
  Counter& h2_bodies_bytes;
  Counter& h2_streams;
  Counter& h2_resets_per_second;
  Counter& h2_control_frames;
};

struct ServerContext {
  ServerContext(ServerConfig server_config, Handler& request_handler, MetricsRegistry& registry);

  const ServerConfig config;
  Handler& handler;
  std::unique_ptr<TlsContext> tls;  ///< null: plaintext
  LimitCounters limits;
  Gauge& connections_gauge;
  Counter& sent_h1;
  Counter& sent_h2;
  /// Open connections, and handlers that outlived theirs.
  std::atomic<std::size_t> connections{0};
  std::atomic<std::size_t> handlers{0};
};

}  // namespace oxbow::http

// The admin address: /metrics, /healthz, /readyz and the read-only part of /api/v1. Loopback by default.
// Thread rule: `handle` on any loop. Lifetime: outlives its server.
#pragma once

#include <atomic>
#include <string>

#include "core/http/handler.h"
#include "core/metrics.h"
#include "storage/store.h"

namespace oxbow::mirror {

class AdminService final : public http::Handler {
 public:
  AdminService(storage::Store& store, MetricsRegistry& metrics, WorkPool& pool, std::string version)
      : store_(store), metrics_(metrics), pool_(pool), version_(std::move(version)) {}

  Task<http::Response> handle(http::Request request) override;

  /// Healthy: the process answers. Ready: it accepts clients and does not drain.
  void set_ready(bool ready) { ready_ = ready; }

 private:
  std::string status_json() const;

  storage::Store& store_;
  MetricsRegistry& metrics_;
  WorkPool& pool_;
  std::string version_;
  std::atomic<bool> ready_ = false;
};

}  // namespace oxbow::mirror

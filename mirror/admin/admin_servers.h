// The servers of the admin addresses: TCP for reading (`admin.listen`), the Unix socket for changes (`admin.socket`).
// Thread rule: main. Lifetime: what `Parts` refers to outlives it; drained before the loops end.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <vector>

#include "config/config.h"
#include "core/http/server.h"
#include "mirror/admin/admin_service.h"

namespace oxbow::mirror {

class AdminServers {
 public:
  struct Parts {
    Loops& loops;
    WorkPool& pool;
    MetricsRegistry& metrics;
    const ApiRoutes& routes;
    const std::atomic<bool>& ready;
  };

  /// Binds. A socket whose directory cannot be written is a warning, for a daemon started by hand has no /run/oxbow;
  /// it then runs without changes. Errors: kInvalid, kBusy (a process listens there), kIo, kDenied.
  static Result<AdminServers> create(const config::Admin& config, const http::ServerLimits& limits, Parts parts);

  void start();
  void drain(std::chrono::milliseconds timeout);

 private:
  struct Address {
    std::unique_ptr<AdminService> service;
    std::unique_ptr<http::Server> server;
  };
  static Result<Address> open(std::string name, const std::string& address, const http::ServerLimits& limits,
                              const Parts& parts);

  std::vector<Address> addresses_;
};

}  // namespace oxbow::mirror

// What an admin address answers: /metrics, /healthz, /readyz, and the routes of the API. The daemon has one for each of
// its admin addresses, which differ in what their callers may do.
// Thread rule: `handle` on any loop. Lifetime: outlives its server.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include "core/http/handler.h"
#include "core/metrics.h"
#include "mirror/admin/api_routes.h"

namespace oxbow::mirror {

/// Who reaches an address, and so what it answers.
enum class AdminDoor : std::uint8_t {
  kSocket,    ///< a Unix socket: whom the file's mode lets in may read and change
  kLoopback,  ///< TCP on this machine: reading, and for web pages only under a name of this machine
  kNetwork,   ///< TCP that the operator opened to others: reading
};

/// Which door a configured address is: "unix:/path", "127.0.0.1:5052", "[::1]:5052", "10.0.0.1:5052".
AdminDoor admin_door(std::string_view address);

class AdminService final : public http::Handler {
 public:
  /// `ready`: the daemon accepts clients and does not drain. Healthy means that the process answers.
  AdminService(AdminDoor door, const ApiRoutes& routes, MetricsRegistry& metrics, WorkPool& pool,
               const std::atomic<bool>& ready)
      : door_(door), routes_(routes), metrics_(metrics), pool_(pool), ready_(ready) {}

  Task<http::Response> handle(http::Request request) override;

 private:
  Task<http::Response> route(http::Request request);

  const AdminDoor door_;
  const ApiRoutes& routes_;
  MetricsRegistry& metrics_;
  WorkPool& pool_;
  const std::atomic<bool>& ready_;
};

}  // namespace oxbow::mirror

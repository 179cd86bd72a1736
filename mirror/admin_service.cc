#include "mirror/admin_service.h"

#include <nlohmann/json.hpp>

#include "registry-api/oci_error.h"

namespace oxbow::mirror {

std::string AdminService::status_json() const {
  const auto usage = store_.usage();
  const nlohmann::json status = {
      {"version", version_},
      {"ready", ready_.load()},
      {"storage",
       {{"stored_bytes", usage.stored_bytes},
        {"pinned_bytes", usage.pinned_bytes},
        {"budget_bytes", usage.budget_bytes},
        {"free_bytes", usage.free_bytes},
        {"floor_bytes", usage.floor_bytes},
        {"blobs", usage.blobs},
        {"stripes", usage.stripes},
        {"writable", usage.writable},
        {"io_engine", std::string(store_.io_engine())}}},
  };
  return status.dump(2) + "\n";
}

Task<http::Response> AdminService::handle(http::Request request) {
  if (request.method != http::Method::kGet && request.method != http::Method::kHead) {
    co_return registry_api::oci_error(405, registry_api::OciCode::kUnsupported, "this address is read-only");
  }
  if (request.path == "/healthz") co_return http::Response::text(200, "text/plain", "ok\n");
  if (request.path == "/readyz") {
    co_return ready_ ? http::Response::text(200, "text/plain", "ready\n")
                     : http::Response::text(503, "text/plain", "not ready\n");
  }
  if (request.path == "/metrics") {
    auto text = co_await pool_.run([this] { return render_metrics(metrics_); });
    co_return http::Response::text(200, "text/plain; version=0.0.4", std::move(text));
  }
  if (request.path == "/api/v1/status") {
    auto text = co_await pool_.run([this] { return status_json(); });
    co_return http::Response::text(200, "application/json", std::move(text));
  }
  co_return registry_api::oci_error(404, registry_api::OciCode::kUnknown,
                                    "try /metrics, /healthz, /readyz or /api/v1/status");
}

}  // namespace oxbow::mirror

#include "mirror/admin/status_routes.h"

#include <nlohmann/json.hpp>

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

Json storage_json(const storage::Store& store) {
  const auto usage = store.usage();
  return {
      {"stored_bytes", usage.stored_bytes}, {"pinned_bytes", usage.pinned_bytes}, {"budget_bytes", usage.budget_bytes},
      {"free_bytes", usage.free_bytes},     {"floor_bytes", usage.floor_bytes},   {"blobs", usage.blobs},
      {"stripes", usage.stripes},           {"writable", usage.writable},         {"io_engine", store.io_engine()}};
}

}  // namespace

void add_status_routes(ApiRoutes& routes, StatusParts parts) {
  routes.get("/api/v1/status", [parts = std::move(parts)](const ApiCall&) -> Result<Json> {
    return Json{{"version", parts.version}, {"ready", parts.ready.load()}, {"storage", storage_json(parts.store)}};
  });
}

}  // namespace oxbow::mirror

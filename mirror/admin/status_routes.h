// GET /api/v1/status. Thread rule: main, at start. Lifetime: what it is given outlives the routes.
#pragma once

#include <atomic>
#include <string>

#include "mirror/admin/api_routes.h"
#include "storage/store.h"

namespace oxbow::mirror {

struct StatusParts {
  storage::Store& store;
  const std::atomic<bool>& ready;
  std::string version;
};

void add_status_routes(ApiRoutes& routes, StatusParts parts);

}  // namespace oxbow::mirror

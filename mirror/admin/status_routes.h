// GET /api/v1/status. Thread rule: main, at start. Lifetime: what it is given outlives the routes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/metrics.h"
#include "mirror/admin/api_routes.h"
#include "mirror/admin/peers_routes.h"
#include "mirror/registries.h"
#include "storage/store.h"

namespace oxbow::mirror {

struct StatusParts {
  storage::Store& store;
  const MetricsRegistry& metrics;
  const Clock& clock;
  const std::atomic<bool>& ready;
  std::string version;
  std::string node;
  std::vector<std::string> location;
  ViewPeers peers;
  std::function<std::size_t()> pulls_running;
  std::function<std::shared_ptr<Registries>()> registries;
};

/// The daemon counts as started now.
void add_status_routes(ApiRoutes& routes, StatusParts parts);

}  // namespace oxbow::mirror

// /api/v1/preheats: an image into the caches of many nodes. Starting and ending one is a change, so it needs the
// socket. Thread rule: main, at start. Lifetime: what it is given outlives the routes.
#pragma once

#include <functional>
#include <memory>

#include "mirror/admin/api_routes.h"
#include "mirror/preheats.h"
#include "mirror/tags.h"

namespace oxbow::mirror {

struct PreheatRouteParts {
  Preheats& preheats;
  Tags& tags;
  std::function<std::shared_ptr<Registries>()> registries;
};

void add_preheat_routes(ApiRoutes& routes, PreheatRouteParts parts);

}  // namespace oxbow::mirror

// GET /api/v1/peers. Thread rule: main, at start. Lifetime: what it is given outlives the routes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "mirror/admin/api_routes.h"
#include "mirror/ring_node.h"

namespace oxbow::mirror {

/// The ring as it is now; nothing without a ring. Any thread.
using ViewPeers = std::function<std::optional<PeersView>()>;

/// `self`: this node's name.
void add_peers_routes(ApiRoutes& routes, std::string self, ViewPeers view);

}  // namespace oxbow::mirror

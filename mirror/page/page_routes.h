// GET / and GET /page/<file>: the web page. Everybody who reaches an admin address may read it; what it shows it asks
// the API for. Thread rule: main, at start.
#pragma once

#include "mirror/admin/api_routes.h"

namespace oxbow::mirror {

void add_page_routes(ApiRoutes& routes);

}  // namespace oxbow::mirror

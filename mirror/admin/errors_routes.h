// GET /api/v1/errors. Thread rule: main, at start. Lifetime: the journal outlives the routes.
#pragma once

#include "mirror/admin/api_routes.h"
#include "mirror/admin/error_journal.h"

namespace oxbow::mirror {

void add_errors_routes(ApiRoutes& routes, const ErrorJournal& journal);

}  // namespace oxbow::mirror

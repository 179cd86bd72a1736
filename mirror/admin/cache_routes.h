// /api/v1/cache: what is stored, what would be evicted next, pins, purges and the scrub.
// Thread rule: main, at start. Lifetime: what it is given outlives the routes.
#pragma once

#include "mirror/admin/api_routes.h"
#include "mirror/admin/scrub_job.h"
#include "mirror/blobs.h"
#include "mirror/digest_memory.h"

namespace oxbow::mirror {

struct CacheParts {
  Blobs& blobs;
  DigestMemory& memory;
  ScrubJob& scrub;
};

void add_cache_routes(ApiRoutes& routes, CacheParts parts);

}  // namespace oxbow::mirror

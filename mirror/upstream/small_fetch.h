// An exchange whose body is small and wanted whole: token services. Private to the upstream client.
#pragma once

#include "core/signal.h"
#include "mirror/upstream/exchange.h"

namespace oxbow::mirror::upstream {

struct SmallAnswer {
  int status = 0;
  http::Headers headers;
  std::string body;
};

/// Runs on the core's loop. Errors: kUnavailable, kTimeout (at `until`), kDenied (private address), kLimit (body).
Task<Result<SmallAnswer>> fetch_small(std::shared_ptr<CurlLoop::Core> core, Transport transport, Outgoing outgoing,
                                      std::size_t max_body_bytes, SteadyTime until);

/// What an exchange that ended badly means for its caller.
Error ending_error(const Ending& ending, std::uint64_t body_bytes);

}  // namespace oxbow::mirror::upstream

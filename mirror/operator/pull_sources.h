// Asks the local daemon where the bytes of a blob came from: `/api/v1/pulls/DIGEST`. Thread rule: one thread; blocks
// for a moment. A daemon that does not answer is not asked again.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "mirror/operator/api_client.h"
#include "mirror/operator/image_pull.h"

namespace oxbow::mirror {

/// `address` without socket and url: nobody is asked.
AskSources ask_daemon(AdminAddress address);

/// From the daemon's record of the last fetch of a blob of `size` bytes, for somebody who asked for it at `since`
/// (RFC 3339, UTC, milliseconds): a fetch that had ended before then brought nothing, and all was on the disk. Nothing:
/// the record cannot be read.
std::optional<SourceBytes> sources_of_pull(const nlohmann::ordered_json& pull, std::uint64_t size,
                                           const std::string& since);

}  // namespace oxbow::mirror

// Field values of responses, and times inside signed URLs. Thread rule: pure functions.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.h"
#include "mirror/upstream/upstream.h"

namespace oxbow::mirror::upstream {

/// `bytes a-b/total`, `bytes a-b/*` (RFC 9110 section 14.4).
std::optional<ContentRange> parse_content_range(std::string_view value);
/// Decimal digits alone, no overflow.
std::optional<std::uint64_t> parse_number(std::string_view text);
std::string format_range(const ByteRange& range);

/// `Retry-After`: seconds or an HTTP date; a date in the past is zero. At most an hour.
std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value, Clock::Wall now);

/// How long the location of a redirect may be used, from what signed URLs say: X-Amz-Date + X-Amz-Expires, X-Goog-Date
/// + X-Goog-Expires, Expires (seconds since 1970), se (Azure). Less a margin, at most 15 min; 60 s where nothing is
/// said; nothing when it has already expired.
std::optional<std::chrono::milliseconds> location_lifetime(std::string_view url, Clock::Wall now);

}  // namespace oxbow::mirror::upstream

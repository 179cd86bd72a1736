// Range and Content-Range (RFC 9110 section 14). Ranges are half-open here and inclusive on the wire.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/geometry.h"

namespace oxbow::registry_api {

/// podman asks for up to 1024 ranges of a zstd:chunked layer in one header.
inline constexpr std::size_t kMaxRanges = 1024;
/// Ranges may overlap, but all of them together may not ask for more than this many times the blob (RFC 9110 section
/// 17.15: the cheap way to make a server send terabytes).
inline constexpr std::uint64_t kMaxRangeOverlap = 2;

struct RangeRequest {
  enum class Kind {
    kWhole,          ///< no usable Range header: 200 with everything
    kRanges,         ///< 206
    kUnsatisfiable,  ///< 416 with `Content-Range: bytes */size`
    kTooMany,        ///< 400, which lazy snapshotters answer by asking for fewer
  };
  Kind kind = Kind::kWhole;
  std::vector<ByteRange> ranges;  ///< in the order of the request, clipped, never empty, never merged
  bool open_ended = false;        ///< a single `a-` or `-n`: it ends where the blob ends
};

/// A header that is malformed or of another unit is ignored (kWhole). An inverted range (`500-0`) cannot be satisfied:
/// the conformance suite wants 416. Of a set with some unsatisfiable ranges the others are served. An empty blob is
/// served whole for `0-` and `-n`: there is no byte that a Content-Range could name.
RangeRequest parse_range(std::optional<std::string_view> header, std::uint64_t size,
                         std::size_t max_ranges = kMaxRanges);

/// One range of a blob whose size is not known yet: `first-`, `first-last` (inclusive), or the last `suffix` bytes.
struct OpenRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> last;
  std::optional<std::uint64_t> suffix;

  bool open_ended() const noexcept { return suffix || !last; }
  /// Clipped to a blob of that size; nothing when it cannot be satisfied.
  std::optional<ByteRange> resolve(std::uint64_t size) const noexcept;
};

/// `bytes 0-99/2048`. `range` is not empty.
std::string content_range(ByteRange range, std::uint64_t size);
/// `bytes */2048`, for 416.
std::string unsatisfied_range(std::uint64_t size);

/// An upstream's Content-Range. `range` is nothing for `bytes */size`, `size` is nothing for `bytes a-b/*`.
struct ContentRange {
  std::optional<ByteRange> range;
  std::optional<std::uint64_t> size;
};
/// Nothing when malformed, inverted, or beyond its own size.
std::optional<ContentRange> parse_content_range(std::string_view header);

}  // namespace oxbow::registry_api

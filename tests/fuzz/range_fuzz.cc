// Any Range header either is ignored, refused, or yields ranges that lie inside the blob, are within the limits on
// count and sum, and survive being written as Content-Range. A multipart body of them has the length that was
// announced.
#include <cstdlib>

#include "registry-api/multipart.h"
#include "registry-api/range.h"

namespace api = oxbow::registry_api;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(std::string_view header, std::uint64_t size) {
  const auto request = api::parse_range(header, size);
  require((request.kind == api::RangeRequest::Kind::kRanges) == !request.ranges.empty());
  require(request.ranges.size() <= api::kMaxRanges);
  require(!request.open_ended || request.ranges.size() == 1);
  std::uint64_t total = 0;
  for (const auto& range : request.ranges) {
    require(!range.empty() && range.end <= size);
    total += range.size();
    const auto again = api::parse_content_range(api::content_range(range, size));
    require(again && again->range == range && again->size == size);
  }
  require(total <= size * api::kMaxRangeOverlap);
  if (request.open_ended) require(request.ranges[0].end == size);

  if (request.ranges.size() > 1 && size < 4096) {
    const api::MultipartLayout layout(request.ranges, size, "application/octet-stream", size);
    std::uint64_t length = layout.trailer().size();
    for (std::size_t i = 0; i < layout.parts(); ++i)
      length += layout.part_header(i).size() + layout.part_range(i).size();
    require(length == layout.total_bytes());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view header(reinterpret_cast<const char*>(data), size);
  for (const std::uint64_t blob_bytes : {0ULL, 1ULL, 2048ULL, 1'000'003ULL, 700'000'000'000ULL})
    check(header, blob_bytes);
  (void)api::parse_content_range(header);
  return 0;
}

#include "mirror/span_source.h"

#include <fmt/format.h>

namespace oxbow::mirror {

Result<> check_head(const SpanHead& head, std::uint64_t blob_bytes, std::uint64_t begin) {
  if (head.blob_bytes && *head.blob_bytes != blob_bytes) {
    return fail(Errc::kCorrupt, fmt::format("the source says the blob has {} bytes, its descriptor says {}",
                                            *head.blob_bytes, blob_bytes));
  }
  if (!head.whole && head.begin != begin)
    return fail(Errc::kCorrupt, "the source sent another range than was asked for");
  return {};
}

}  // namespace oxbow::mirror

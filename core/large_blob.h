// Which blobs a cache keeps by span: it gives them up in parts, each node others, so that together the nodes keep what
// none of them can. Measured with `oxbow sim capacity` (docs/decisions/0011-large-blobs.md). Thread rule: pure.
#pragma once

#include <algorithm>
#include <cstdint>

namespace oxbow {

/// Larger than an eighth of the budget; or than a 24th of it and than the layers of ordinary images: the files of a
/// model are.
constexpr bool leaves_by_span(std::uint64_t blob_bytes, std::uint64_t budget_bytes) {
  constexpr std::uint64_t kOrdinaryBytes = 1ULL << 30U;
  return blob_bytes > budget_bytes / 8 || blob_bytes > std::max(budget_bytes / 24, kOrdinaryBytes);
}

}  // namespace oxbow

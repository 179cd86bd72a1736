// Which spans of a blob too large for one node this node should keep: the higher, the rather. A node keeps first what
// it comes first for on the ring; among the spans for which it does not stand near the front (nearly all of them, in a
// large cluster) each node has an order of its own, drawn from its name (rendezvous hashing), so that together they
// keep every span about equally often. Without that order all nodes would keep the same end of the blob
// (docs/simulation-churn.md).
// Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <optional>

#include "p2p/ring.h"

namespace oxbow::p2p {

/// Members of a span's walk that are told apart by their place.
inline constexpr std::size_t kSpanRanksPlaced = 8;

/// `place` in the span's walk, none beyond the first kSpanRanksPlaced; `node`: key_of its name. In [-9, 0].
double span_rank(std::optional<std::size_t> place, Key span, Key node) noexcept;

/// The same for the member `self` of the ring. Requires members.
double span_rank(const Ring& ring, std::uint32_t self, Key span, Key node);

}  // namespace oxbow::p2p

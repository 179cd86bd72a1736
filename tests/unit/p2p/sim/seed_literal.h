// The rules of the seed's simulator once more, as literally and slowly as they can be written (sets and lists), on the
// same placement and random streams: what the fast one must agree with to the last digit.
#pragma once

#include "p2p/sim/seed.h"

namespace oxbow::p2p::sim {

/// Pinned copies only.
SeedFigures<double> literal_seed_arm(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed,
                                     bool locality);

}  // namespace oxbow::p2p::sim

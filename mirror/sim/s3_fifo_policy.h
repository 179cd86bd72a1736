// The daemon's S3-FIFO (storage/s3_fifo.h) as a policy of the capacity simulation.
#pragma once

#include <memory>

#include "p2p/sim/cache_policy.h"

namespace oxbow::mirror {

std::unique_ptr<p2p::sim::CachePolicy> make_s3_fifo_policy();

}  // namespace oxbow::mirror

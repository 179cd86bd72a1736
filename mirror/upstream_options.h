// From a [[registry]] of the configuration to what the upstream client is told. Thread rule: pure functions.
#pragma once

#include "config/config.h"
#include "mirror/upstream/config.h"

namespace oxbow::mirror {

upstream::UpstreamConfig upstream_options(const config::Registry& registry);

}  // namespace oxbow::mirror

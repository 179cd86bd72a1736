// From the daemon's configuration to what runtimes are pointed at. Thread rule: pure functions.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "core/error.h"
#include "mirror/install/plan.h"

namespace oxbow::mirror::install {

/// `mirror`: a URL instead of the first of client.listen; empty: that. `only`: these registries instead of all that are
/// configured. Errors: kInvalid, with what to write instead.
Result<Target> make_target(const config::Config& config, const std::string& mirror,
                           const std::vector<std::string>& only);

}  // namespace oxbow::mirror::install

// What `oxbow install` and `oxbow uninstall` print. Thread rule: pure functions.
#pragma once

#include <string>

#include "mirror/install/installer.h"

namespace oxbow::mirror::install {

/// One line a file, then what to do. With `dry_run` also every line that would be put in (+) or out (-).
std::string report_text(const Report& report, const RootFs& files, bool dry_run);
/// Warnings and errors, one paragraph each.
std::string complaints_text(const Report& report);

}  // namespace oxbow::mirror::install

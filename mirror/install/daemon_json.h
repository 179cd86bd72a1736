// daemon.json of dockerd: puts the mirror in as the first of "registry-mirrors" and keeps the text otherwise.
// Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "mirror/install/hunks.h"

namespace oxbow::mirror::install {

/// Nothing if it is there already. Errors: kInvalid (not JSON), kUnsupported, with what to put in by hand.
Result<std::optional<Edited>> add_docker_mirror(std::string_view text, const std::string& mirror);

/// A whole file.
std::string new_daemon_json(const std::string& mirror);

}  // namespace oxbow::mirror::install

// The part of YAML that kubelet's CredentialProviderConfig files are written in: block mappings and sequences, plain
// and quoted scalars, flow sequences of scalars, comments, one document. Scalars stay text. No anchors, tags, flow
// mappings or block scalars. Thread rule: pure functions.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/error.h"

namespace oxbow::mirror::upstream {

/// Errors: kInvalid, with the line.
Result<nlohmann::json> parse_simple_yaml(std::string_view text);

}  // namespace oxbow::mirror::upstream

// This node itself as the asker, with a right of its own: anonymous, or the configured credential; never a client's.
// What peers and the operator ask of a node goes this way. Thread rule: pure.
#pragma once

#include <string>
#include <string_view>

#include "mirror/access.h"

namespace oxbow::mirror {

/// `registry`: a configured name. Errors: kNotFound (no such registry here), kInvalid (no name of a repository),
/// kDenied (the repository is not served here).
Result<Asker> own_asker(const Registries& registries, std::string_view registry, std::string repository);

}  // namespace oxbow::mirror

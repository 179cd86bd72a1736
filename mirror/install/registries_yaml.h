// registries.yaml of k3s and RKE2: puts the mirror in as the first endpoint of each registry, as text. The forms that
// are understood are block mappings, with the endpoints as a block list or in brackets; others are refused with what to
// put in by hand. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "mirror/install/hunks.h"

namespace oxbow::mirror::install {

struct YamlEdit {
  Edited edited;  ///< no hunks: every registry has the mirror already
};
/// `names`: the registries. Errors: kInvalid (not YAML that is understood), kUnsupported.
Result<YamlEdit> add_endpoints(std::string_view text, const std::vector<std::string>& names, const std::string& mirror);

}  // namespace oxbow::mirror::install

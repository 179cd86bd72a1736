// registries.conf of podman, skopeo, buildah and CRI-O (containers-registries.conf.d(5)): a main file and drop-ins, of
// which the last in the order of their names that has a registry has it alone; nothing is merged. So where a file says
// something of a registry already, the mirror is put in there; other registries go into a drop-in of our own.
// The mirror is told the registry by the path of its location, because these clients send no `ns`.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "mirror/install/hunks.h"
#include "mirror/install/plan.h"

namespace oxbow::mirror::install {

/// The name under which the mirror knows a registry in a path: itself, or an alias where it has a port, which a
/// reference cannot have in its path. Nothing if there is none.
std::optional<std::string> name_in_path(const Target::Registry& registry);

/// One [[registry.mirror]].
std::string mirror_table(const Target& target, std::string_view name_in_path);

/// Puts the mirror in as the first one of the registry that the file has with this prefix (or location). Nothing if it
/// is there already. Errors: kUnsupported, with what to put in by hand.
Result<std::optional<Edited>> add_registry_mirror(std::string_view text, const std::string& prefix,
                                                  const Target& target, std::string_view name_in_path);

}  // namespace oxbow::mirror::install

// One hosts.toml of containerd (its docs/hosts.md): puts the mirror in as the first host and leaves the rest as it is.
// What is written is as little as works with every containerd from 1.5 on: no `server`, so that the registry itself
// stays the last resort; no capability but pull and resolve, because an unknown one makes containerd ignore the whole
// file; no TLS keys, with which a plaintext mirror would first be asked for TLS; `dial_timeout`, which older ones do
// not know and pass over. Thread rule: pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "mirror/install/hunks.h"

namespace oxbow::mirror::install {

/// The table of the mirror.
std::string host_table(std::string_view mirror);

struct HostsEdit {
  std::optional<Edited> edited;  ///< nothing: the file names the mirror first already
  std::vector<std::string> warnings;
};
/// Errors: kInvalid (not TOML), kUnsupported (nothing can be put in without changing the meaning of the rest); both say
/// what to do.
Result<HostsEdit> add_mirror(std::string_view text, std::string_view mirror);

/// A new file in a directory that holds only certificates (*.crt; *.cert with *.key), which containerd takes from there
/// by itself only as long as there is no hosts.toml. `names`: what is in the directory. Empty if there are none.
std::string certificate_lines(const std::vector<std::string>& names);

/// Whether a path in it is relative to the directory of the file, so that the text means something else elsewhere.
bool has_relative_paths(std::string_view text);

}  // namespace oxbow::mirror::install

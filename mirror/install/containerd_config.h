// What containerd's own configuration (config.toml with its imports) says about hosts.toml: where it looks for it, and
// what keeps it from looking. Thread rule: plain values.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mirror/install/plan.h"

namespace oxbow::mirror::install {

struct ContainerdConfig {
  bool exists = false;
  std::filesystem::path file;     ///< where the settings of the CRI plugin stand, or belong: the last file with them
  std::string section;            ///< e.g. plugins."io.containerd.grpc.v1.cri".registry
  std::vector<std::string> keys;  ///< the same as single keys
  std::optional<std::string> config_path;  ///< nothing: not set. May be a list with colons
  bool cri_disabled = false;               ///< no Kubernetes here: only clients that look for hosts.toml by themselves
  bool has_mirrors = false;  ///< the old registry.mirrors (or TLS in registry.configs), which forbids config_path
  bool discards_unpacked_layers = false;

  /// The folders of config_path, which containerd splits at colons.
  std::vector<std::string> folders() const;
};

/// Errors: kInvalid (not TOML), with the file's name; as RootFs::read.
Result<ContainerdConfig> read_containerd_config(const View& view, const std::filesystem::path& file);

/// The text that makes config_path be `folder`, for a person to put in.
std::string config_path_lines(const ContainerdConfig& config, std::string_view folder);

/// The same as a change of the file. Errors: kUnsupported (nothing can be put in without changing the meaning of the
/// rest), as RootFs::read.
Result<FileChange> set_config_path(const View& view, const ContainerdConfig& config, std::string_view folder);

}  // namespace oxbow::mirror::install

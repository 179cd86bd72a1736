// The plan of each runtime: which files make it pull through the mirror, with the upstream as its last resort.
// Nothing is written here. Thread rule: pure functions over the files that the view shows.
#pragma once

#include <filesystem>
#include <optional>

#include "mirror/install/plan.h"

namespace oxbow::mirror::install {

struct ContainerdOptions {
  std::filesystem::path config = "/etc/containerd/config.toml";
  std::optional<std::filesystem::path> hosts;  ///< the folder of hosts.toml; nothing: what config_path says
  bool set_config_path = false;  ///< change containerd's configuration where it names no folder, or several
};
Plan plan_containerd(const View& view, const Target& target, const ContainerdOptions& options);

/// podman, skopeo, buildah and CRI-O, which read the same files. `runtime`: "podman" or "cri-o".
Plan plan_containers(const View& view, const Target& target, std::string_view runtime);

Plan plan_docker(const View& view, const Target& target);

Plan plan_k3s(const View& view, const Target& target);

}  // namespace oxbow::mirror::install

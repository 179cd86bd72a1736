// containerd: one hosts.toml a registry below config_path, as clients look for it: the first directory that exists
// among host_port_, host:port and _default is taken, and nothing is merged (containerd, docs/hosts.md).
#include <fmt/format.h>

#include <algorithm>

#include "mirror/install/containerd_config.h"
#include "mirror/install/hosts_toml.h"
#include "mirror/install/runtimes.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

constexpr const char* kDefaultHosts = "/etc/containerd/certs.d";

class Planner {
 public:
  Planner(const View& view, const Target& target, const ContainerdOptions& options)
      : view_(view), target_(target), options_(options) {}

  Plan make() {
    auto config = read_containerd_config(view_, options_.config);
    if (!config) {
      plan_.error(fmt::format("{}; repair containerd's configuration first", config.error().what()));
      return std::move(plan_);
    }
    config_ = std::move(*config);
    choose_folder();
    if (!plan_.errors.empty()) return std::move(plan_);
    plan_.after.emplace_back("containerd reads hosts.toml at each pull: for these files it needs no restart");
    for (const auto& registry : target_.registries) add(directory_of(registry.name), registry.name);
    if (target_.any_registry) add(hosts_ / "_default", "_default");
    look_at_default();
    return std::move(plan_);
  }

 private:
  void choose_folder() {
    const auto folders = config_.folders();
    hosts_ = options_.hosts.value_or(folders.empty() ? fs::path(kDefaultHosts) : fs::path(folders.front()));
    if (config_.discards_unpacked_layers) {
      plan_.note(
          "discard_unpacked_layers = true: containerd drops layers once they are unpacked. Oxbow keeps its own copy, "
          "so "
          "nothing needs to change");
    }
    if (config_.cri_disabled) {
      plan_.note("containerd's CRI plugin is disabled: nerdctl looks into " + std::string(kDefaultHosts) +
                 " by itself, ctr with --hosts-dir " + hosts_.string());
    } else if (config_.has_mirrors) {
      plan_.error(fmt::format(
          "{} configures [{}.mirrors] (or TLS in .configs), beside which containerd refuses config_path and starts no "
          "CRI "
          "plugin. Move each mirror to {}/<registry>/hosts.toml, remove those tables, set\n{}and run this again",
          config_.file.string(), config_.section, hosts_.string(), config_path_lines(config_, hosts_.string())));
    } else if (folders.empty()) {
      no_config_path();
    } else if (folders.size() > 1) {
      several_folders();
    } else if (fs::path(folders.front()).lexically_normal() != hosts_.lexically_normal()) {
      other_folder(folders.front());
    }
  }

  bool wants_config_path() const { return options_.set_config_path || view_.was_changed(config_.file); }

  void no_config_path() {
    if (wants_config_path()) return change_config(hosts_.string());
    const auto text = fmt::format(
        "{}, so CRI reads no hosts.toml (or, from containerd 2.2 on, looks in the wrong place). Add\n{}to {}, restart "
        "containerd (running containers stay), and run this again; or let --set-config-path add it",
        config_.exists ? config_.file.string() + " sets no config_path" : config_.file.string() + " does not exist",
        config_path_lines(config_, hosts_.string()), config_.file.string());
    if (options_.hosts)
      plan_.warn(text);  // they say where: for nerdctl, ctr, or a containerd that is configured later
    else
      plan_.error(text);
  }

  void several_folders() {
    if (wants_config_path()) {
      for (const auto& folder : config_.folders()) {
        if (fs::path(folder).lexically_normal() == hosts_.lexically_normal() || view_.list(folder).empty()) continue;
        return plan_.error(fmt::format(
            "{} has entries that containerd would no longer see when config_path names only {}: move them there first",
            folder, hosts_.string()));
      }
      return change_config(hosts_.string());
    }
    plan_.warn(fmt::format(
        "config_path in {} is a list, \"{}\": containerd from 2.1 on takes it for the name of one folder when its "
        "transfer "
        "service pulls (the default), and uses no mirror{}. Set one folder and restart containerd:\n{}or let "
        "--set-config-path do it",
        config_.file.string(), config_.config_path.value_or(""),
        config_.discards_unpacked_layers ? " (with discard_unpacked_layers = true it does not, for now)" : "",
        config_path_lines(config_, hosts_.string())));
  }

  void other_folder(const std::string& folder) {
    plan_.warn(fmt::format("containerd reads {} (config_path in {}), not {}, for which you asked", folder,
                           config_.file.string(), hosts_.string()));
  }

  void change_config(const std::string& folder) {
    auto change = set_config_path(view_, config_, folder);
    if (!change) return plan_.error(change.error().what());
    plan_.changes.push_back(std::move(*change));
    const std::string restart =
        "restart containerd, so that it reads its configuration (running containers stay): systemctl restart "
        "containerd";
    plan_.after.push_back(restart);
    plan_.after_undo.push_back(restart);
  }

  /// The directory that containerd takes for a registry, or would.
  fs::path directory_of(const std::string& registry) const {
    const auto colon = registry.rfind(':');
    if (colon != std::string::npos && !registry.ends_with(']')) {
      const auto escaped = hosts_ / (registry.substr(0, colon) + "_" + registry.substr(colon + 1) + "_");
      if (view_.is_directory(escaped)) return escaped;
    }
    return hosts_ / registry;
  }

  /// What the file says without us: its own text; else what containerd uses as long as it is missing.
  Result<std::string> base(const fs::path& directory) const {
    if (view_.is_directory(directory)) return certificate_lines(view_.list(directory));
    const auto fallback = hosts_ / "_default" / "hosts.toml";
    const auto read = view_.read(fallback);
    if (!read) return std::unexpected(read.error());
    const auto& text = *read;
    if (!text || directory == fallback.parent_path()) return std::string();
    if (has_relative_paths(*text)) {
      return fail(
          Errc::kUnsupported,
          fmt::format("a new directory would hide {}, whose certificates are given by relative paths and so cannot "
                      "be taken over: write absolute paths there",
                      fallback.string()));
    }
    return fmt::format("# As in {}, which this file hides.\n{}", fallback.string(), *text);
  }

  void add(const fs::path& directory, const std::string& registry) {
    const auto path = directory / "hosts.toml";
    const auto read = view_.read(path);
    if (!read) return plan_.error(read.error().what());
    const auto& text = *read;
    const auto before = text ? Result<std::string>(*text) : base(directory);
    if (!before) return plan_.error(fmt::format("{}: {}", registry, before.error().what()));
    auto edit = add_mirror(*before, target_.mirror);
    if (!edit) return plan_.error(fmt::format("{}: {}", path.string(), edit.error().what()));
    for (const auto& warning : edit->warnings) plan_.warn(fmt::format("{}: {}", path.string(), warning));
    auto& edited = edit->edited;
    if (!text)
      plan_.create(path, edited ? edited->text : *before);
    else if (edited)
      plan_.changes.push_back({path, text, std::move(*edited)});
    else
      plan_.already.push_back(path);
  }

  /// Directories that hide a _default which names the mirror.
  void look_at_default() {
    if (!target_.any_registry) return;
    for (const auto& name : view_.list(hosts_)) {
      if (name == "_default" || !view_.is_directory(hosts_ / name)) continue;
      const bool ours = std::ranges::any_of(
          target_.registries, [&](const auto& registry) { return directory_of(registry.name) == hosts_ / name; });
      if (!ours)
        plan_.warn(fmt::format(
            "{} hides _default, so {} is not pulled through the mirror: give it a [[registry]] in oxbow.toml "
            "and run this again",
            (hosts_ / name).string(), name));
    }
  }

  const View& view_;
  const Target& target_;
  const ContainerdOptions& options_;
  Plan plan_;
  ContainerdConfig config_;
  fs::path hosts_;
};

}  // namespace

Plan plan_containerd(const View& view, const Target& target, const ContainerdOptions& options) {
  return Planner(view, target, options).make();
}

}  // namespace oxbow::mirror::install

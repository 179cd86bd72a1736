// podman, skopeo, buildah and CRI-O: see registries_conf.h.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "mirror/install/registries_conf.h"
#include "mirror/install/runtimes.h"
#include "mirror/install/toml_text.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMain = "/etc/containers/registries.conf";
constexpr const char* kDropIns = "/etc/containers/registries.conf.d";
constexpr const char* kOurs = "/etc/containers/registries.conf.d/50-oxbow.conf";

struct Known {
  fs::path file;
  bool blocked = false;
  bool by_digest_only = false;
};

class Planner {
 public:
  Planner(const View& view, const Target& target) : view_(view), target_(target) {}

  Plan make(std::string_view runtime) {
    read_all();
    if (!plan_.errors.empty()) return std::move(plan_);
    for (const auto& registry : target_.registries) add(registry);
    if (target_.any_registry)
      plan_.note(
          "allow_any_registry: these clients ask a mirror only for registries that are named in registries.conf");
    finish(runtime);
    return std::move(plan_);
  }

 private:
  void read_all() {
    read(kMain);
    for (const auto& name : view_.list(kDropIns)) {
      if (name.ends_with(".conf")) read(fs::path(kDropIns) / name);
    }
  }

  void read(const fs::path& path) {
    const auto read_now = view_.read(path);
    if (!read_now) return plan_.error(read_now.error().what());
    const auto& text = *read_now;
    if (!text) return;
    const auto file = parse_toml(*text);
    if (!file)
      return plan_.error(
          fmt::format("{}: {}: no client can read it; repair it first", path.string(), file.error().what()));
    if (file->contains("registries")) {
      return plan_.error(
          fmt::format("{} has the old form ([registries.search]), beside which [[registry]] is an error that stops "
                      "every pull: write it "
                      "anew as containers-registries.conf(5) says (unqualified-search-registries = [...])",
                      path.string()));
    }
    texts_.emplace(path, Edited{*text, {}});
    const auto* list = (*file)["registry"].as_array();
    if (!list) return;
    for (const auto& one : *list) {
      const auto* registry = one.as_table();
      if (!registry) continue;
      auto prefix = (*registry)["prefix"].value<std::string>().value_or("");
      if (prefix.empty()) prefix = (*registry)["location"].value<std::string>().value_or("");
      known_[prefix] = {path, (*registry)["blocked"].value_or(false),
                        (*registry)["mirror-by-digest-only"].value_or(false)};
    }
  }

  /// A `*.example.com` that a registry of its own would hide.
  const std::pair<const std::string, Known>* wildcard_over(const std::string& registry) const {
    for (const auto& entry : known_) {
      if (entry.first.starts_with("*.") && registry.ends_with(entry.first.substr(1))) return &entry;
    }
    return nullptr;
  }

  void add(const Target::Registry& registry) {
    const auto name = name_in_path(registry);
    if (!name) {
      return plan_.warn(
          fmt::format("{} is left out: these clients cannot name a registry with a port in a path. Give it an alias "
                      "without one: aliases = "
                      "[\"…\"] in its [[registry]] of oxbow.toml",
                      registry.name));
    }
    if (const auto found = known_.find(registry.name); found != known_.end()) return add_to(*name, *found);
    if (const auto* wildcard = wildcard_over(registry.name)) {
      return plan_.warn(
          fmt::format("{} is left out: it would hide {} in {}. Give it a [[registry]] of its own there first",
                      registry.name, wildcard->first, wildcard->second.file.string()));
    }
    ours_ += fmt::format("\n[[registry]]\nlocation = {}\n{}", toml_string(registry.name), mirror_table(target_, *name));
  }

  void add_to(const std::string& name, const std::pair<const std::string, Known>& entry) {
    const auto& [prefix, known] = entry;
    if (known.blocked) return plan_.warn(fmt::format("{} is left out: {} blocks it", prefix, known.file.string()));
    if (known.by_digest_only) {
      plan_.note(fmt::format("{}: {} has mirror-by-digest-only, so tags are not asked of the mirror", prefix,
                             known.file.string()));
    }
    auto& text = texts_.at(known.file);
    auto added = add_registry_mirror(text.text, prefix, target_, name);
    if (!added) return plan_.error(fmt::format("{}: {}", known.file.string(), added.error().what()));
    const auto& edited = *added;
    if (!edited) return;
    text.text = edited->text;
    text.hunks.insert(text.hunks.end(), edited->hunks.begin(), edited->hunks.end());
  }

  void finish(std::string_view runtime) {
    for (auto& [path, edited] : texts_) {
      if (edited.hunks.empty()) continue;
      auto original = view_.read(path);
      if (!original) return plan_.error(original.error().what());
      plan_.changes.push_back({path, std::move(*original), std::move(edited)});
    }
    if (!ours_.empty()) {
      if (texts_.contains(kOurs)) return plan_.error(fmt::format("{} is there, and not ours: rename it", kOurs));
      plan_.create(kOurs, written_by("podman") + ours_);
    }
    const std::string reload = runtime == "cri-o" ? "CRI-O reads registries.conf again on: systemctl reload crio"
                                                  : "podman, skopeo and buildah read registries.conf at each pull";
    plan_.after.push_back(reload);
    if (runtime == "cri-o") plan_.after_undo.push_back(reload);
  }

  const View& view_;
  const Target& target_;
  Plan plan_;
  std::map<fs::path, Edited> texts_;
  std::map<std::string, Known> known_;  ///< by prefix: what the last file says
  std::string ours_;
};

}  // namespace

Plan plan_containers(const View& view, const Target& target, std::string_view runtime) {
  return Planner(view, target).make(runtime);
}

}  // namespace oxbow::mirror::install

// k3s (and RKE2, which has the same file elsewhere): registries.yaml, from which it writes containerd's hosts.toml when
// it starts, with the registry itself as the last endpoint.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "mirror/install/registries_yaml.h"
#include "mirror/install/runtimes.h"
#include "mirror/upstream/simple_yaml.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

constexpr const char* kFolder = "/etc/rancher/k3s";

struct Settings {
  fs::path registries = fs::path(kFolder) / "registries.yaml";
  bool no_default_endpoint = false;
};

void look_at(const View& view, const fs::path& path, Settings& out) {
  const auto text = view.read(path);
  if (!text) return;
  const auto parsed = upstream::parse_simple_yaml(text->value_or(""));
  if (!parsed || !parsed->is_object()) return;  // k3s will say so itself; the two keys below are what matters here
  const auto text_of = [&](const char* key) {
    const auto found = parsed->find(key);
    return found != parsed->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (const auto file = text_of("private-registry"); file.starts_with('/')) out.registries = file;
  if (const auto value = text_of("disable-default-registry-endpoint"); !value.empty())
    out.no_default_endpoint = value == "true";
}

Settings settings(const View& view) {
  Settings out;
  look_at(view, fs::path(kFolder) / "config.yaml", out);
  const auto drop_ins = fs::path(kFolder) / "config.yaml.d";
  for (const auto& name : view.list(drop_ins)) {
    if (name.ends_with(".yaml")) look_at(view, drop_ins / name, out);
  }
  return out;
}

}  // namespace

Plan plan_k3s(const View& view, const Target& target) {
  Plan plan;
  const auto found = settings(view);
  if (found.no_default_endpoint) {
    plan.warn(
        "k3s runs with disable-default-registry-endpoint: with Oxbow stopped it pulls only from the other endpoints of "
        "a "
        "registry, if there are any. Remove that setting to keep the registry itself as the last resort");
  }
  auto text = view.read(found.registries);
  if (!text) {
    plan.error(text.error().what());
    return plan;
  }
  std::vector<std::string> names;
  for (const auto& registry : target.registries) names.push_back(registry.name);
  if (target.any_registry) names.emplace_back("*");
  auto edit = add_endpoints(text->value_or(""), names, target.mirror);
  if (!edit) {
    plan.error(fmt::format("{}: {}", found.registries.string(), edit.error().what()));
  } else if (edit->edited.hunks.empty()) {
    plan.already.push_back(found.registries);
  } else if (*text) {
    plan.changes.push_back({found.registries, std::move(*text), std::move(edit->edited)});
  } else {
    plan.create(found.registries, written_by("k3s") + edit->edited.text);
  }
  const std::string restart =
      "k3s reads registries.yaml when it starts (running containers stay): systemctl restart k3s, on agents k3s-agent";
  plan.after = {restart};
  plan.after_undo = {restart};
  return plan;
}

}  // namespace oxbow::mirror::install

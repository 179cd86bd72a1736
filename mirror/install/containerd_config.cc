#include "mirror/install/containerd_config.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

#include "mirror/install/toml_text.h"

namespace oxbow::mirror::install {
namespace fs = std::filesystem;
namespace {

/// How deep imports may nest.
constexpr int kMaxDepth = 8;

/// The CRI plugin by version of the configuration: its table, and the part of it that pulls images.
std::string cri_plugin(std::int64_t version) {
  return version >= 3 ? "io.containerd.cri.v1.images" : version == 2 ? "io.containerd.grpc.v1.cri" : "cri";
}

class Files {
 public:
  explicit Files(const View& view) : view_(view) {}

  /// A file and what it imports, in the order in which later ones win.
  Result<> read(const fs::path& path, int depth) {
    const auto read = view_.read(path);
    if (!read) return std::unexpected(read.error());
    const auto& text = *read;
    if (!text) return {};
    auto file = parse_toml(*text);
    if (!file) return std::unexpected(file.error().in(path.string()));
    std::vector<std::string> imports;
    if (const auto* list = (*file)["imports"].as_array()) {
      for (const auto& one : *list) imports.push_back(one.value<std::string>().value_or(""));
    }
    files_.emplace_back(path, std::move(*file));
    if (depth >= kMaxDepth) return fail(Errc::kInvalid, fmt::format("{}: imports nest too deep", path.string()));
    for (const auto& import : imports) {
      if (auto done =
              read_matching(fs::path(import).is_absolute() ? fs::path(import) : path.parent_path() / import, depth + 1);
          !done)
        return done;
    }
    return {};
  }

  /// All files of the directory that the last part of the pattern matches.
  Result<> read_matching(const fs::path& pattern, int depth) {
    for (const auto& name : view_.list(pattern.parent_path())) {
      if (::fnmatch(pattern.filename().c_str(), name.c_str(), FNM_PERIOD) != 0) continue;
      if (auto done = read(pattern.parent_path() / name, depth); !done) return done;
    }
    return {};
  }

  const std::vector<std::pair<fs::path, toml::table>>& all() const { return files_; }

 private:
  const View& view_;
  std::vector<std::pair<fs::path, toml::table>> files_;
};

bool names_cri(const toml::table& file) {
  const auto* list = file["disabled_plugins"].as_array();
  return list && std::ranges::any_of(*list, [](const toml::node& one) {
           const auto name = one.value<std::string_view>().value_or("");
           return name == "cri" || name == "io.containerd.grpc.v1.cri" || name == "io.containerd.cri.v1.images";
         });
}

bool is_filled(const toml::node* node) { return node && node->as_table() && !node->as_table()->empty(); }

bool has_old_mirrors(const toml::table& registry) {
  if (is_filled(registry.get("mirrors"))) return true;
  const auto* configs = registry["configs"].as_table();
  return configs && std::ranges::any_of(*configs, [](const auto& entry) {
           const auto* one = entry.second.as_table();
           return one && is_filled(one->get("tls"));
         });
}

void look_at_plugin(const toml::table& plugin, ContainerdConfig& out) {
  out.config_path.reset();  // containerd replaces a plugin's table as a whole by that of a later file
  out.has_mirrors = false;
  out.discards_unpacked_layers = plugin["discard_unpacked_layers"].value_or(false) ||
                                 plugin["containerd"]["discard_unpacked_layers"].value_or(false);
  const auto* registry = plugin["registry"].as_table();
  if (!registry) return;
  out.config_path = (*registry)["config_path"].value<std::string>();
  if (out.config_path && out.config_path->empty()) out.config_path.reset();
  out.has_mirrors = has_old_mirrors(*registry);
}

const toml::node* descend(const toml::table& file, const std::vector<std::string>& keys) {
  const toml::node* at = &file;
  for (const auto& key : keys) {
    const auto* table = at->as_table();
    at = table ? table->get(key) : nullptr;
    if (!at) return nullptr;
  }
  return at;
}

/// The same file, but for config_path, which is `folder`.
bool only_sets(const toml::table& before, std::string_view after, const std::vector<std::string>& keys,
               std::string_view folder) {
  auto old_file = before;
  auto new_file = parse_toml(after);
  if (!new_file) return false;
  const auto* value = descend(*new_file, keys);
  const auto* registry = value ? value->as_table() : nullptr;
  if (!registry || (*registry)["config_path"].value<std::string_view>() != folder) return false;
  for (auto* file : {&old_file, &*new_file}) {
    // Without the value, and without the tables that are there for its sake alone.
    std::vector<toml::table*> way{file};
    for (const auto& key : keys) {
      auto* next = way.back()->get_as<toml::table>(key);
      if (!next) break;
      way.push_back(next);
    }
    if (way.size() == keys.size() + 1) way.back()->erase("config_path");
    for (; way.size() > 1 && way.back()->empty(); way.pop_back()) way[way.size() - 2]->erase(keys[way.size() - 2]);
  }
  return old_file == *new_file;
}

/// Every way in which the value may be put in; the caller takes the first that proves right.
std::vector<Edited> candidates(const std::string& text, const toml::table& file, const ContainerdConfig& config,
                               std::string_view folder) {
  std::vector<Edited> out;
  const auto line = fmt::format("config_path = {}  # by \"oxbow install containerd\"\n", toml_string(folder));
  const auto* node = descend(file, config.keys);
  const auto* registry = node ? node->as_table() : nullptr;
  if (registry) {
    if (const auto* old = registry->get("config_path")) {
      const auto begin = line_offset(text, old->source().begin.line);
      const auto end = line_offset(text, old->source().begin.line + 1);
      out.emplace_back(text, std::vector<Hunk>{}).replace(begin, end - begin, line);
    }
    if (const auto header = first_line(*registry)) {
      const auto below = line_offset(text, *header + 1);
      const std::string newline = below > 0 && text[below - 1] != '\n' ? "\n" : "";
      out.emplace_back(text, std::vector<Hunk>{}).replace(below, 0, newline + line);
    }
  }
  const std::string newline = text.empty() || text.ends_with('\n') ? "" : "\n";
  out.emplace_back(text, std::vector<Hunk>{})
      .replace(text.size(), 0, newline + "\n" + written_by("containerd") + config_path_lines(config, folder));
  return out;
}

}  // namespace

std::vector<std::string> ContainerdConfig::folders() const {
  std::vector<std::string> out;
  std::string_view rest = config_path ? std::string_view(*config_path) : std::string_view();
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    if (colon != 0) out.emplace_back(rest.substr(0, colon));
    rest = colon == std::string_view::npos ? std::string_view() : rest.substr(colon + 1);
  }
  return out;
}

Result<ContainerdConfig> read_containerd_config(const View& view, const fs::path& file) {
  Files files(view);
  if (auto done = files.read(file, 0); !done) return std::unexpected(done.error());
  ContainerdConfig out;
  out.exists = !files.all().empty();
  out.file = file;
  // containerd 2.2 and later read this folder where no file says otherwise.
  if (!out.exists) {
    if (auto done = files.read_matching(file.parent_path() / "conf.d" / "*.toml", 1); !done)
      return std::unexpected(done.error());
  }
  std::int64_t version = out.exists ? 1 : 2;
  if (!files.all().empty()) version = files.all().front().second["version"].value_or(version);
  const auto plugin = cri_plugin(version);
  out.keys = {"plugins", plugin, "registry"};
  out.section = fmt::format("plugins.{}.registry", plugin.contains('.') ? toml_string(plugin) : plugin);
  for (const auto& [path, table] : files.all()) {
    out.cri_disabled = out.cri_disabled || names_cri(table);
    const auto* found = table["plugins"][plugin].as_table();
    if (!found) continue;
    out.file = path;
    look_at_plugin(*found, out);
  }
  return out;
}

std::string config_path_lines(const ContainerdConfig& config, std::string_view folder) {
  return fmt::format("[{}]\n  config_path = {}\n", config.section, toml_string(folder));
}

Result<FileChange> set_config_path(const View& view, const ContainerdConfig& config, std::string_view folder) {
  const auto read = view.read(config.file);
  if (!read) return std::unexpected(read.error());
  const auto& text = *read;
  if (!text) {
    FileChange out{config.file, std::nullopt, {}};
    out.edited.replace(0, 0, written_by("containerd") + "version = 2\n\n" + config_path_lines(config, folder));
    return out;
  }
  const auto file = parse_toml(*text);
  if (!file) return std::unexpected(file.error().in(config.file.string()));
  for (auto& candidate : candidates(*text, *file, config, folder)) {
    if (only_sets(*file, candidate.text, config.keys, folder))
      return FileChange{config.file, text, std::move(candidate)};
  }
  return fail(Errc::kUnsupported, fmt::format("{} has a form that cannot be added to; put in by hand:\n{}",
                                              config.file.string(), config_path_lines(config, folder)));
}

}  // namespace oxbow::mirror::install

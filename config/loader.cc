#include "config/loader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <tuple>

#include "config/schema.h"
#include "config/source.h"
#include "config/suggest.h"
#include "config/validate.h"
#include "core/encoding.h"

namespace oxbow::config {
namespace {

/// One load: applies the layers in order and remembers which place said what, for the checks at the end.
class Load {
 public:
  void apply_file(const FileSettings& file) {
    for (const auto& setting : file.sections) {
      if (!apply(sections_, config_, setting, setting.key)) continue;
      places_[setting.key] = setting.place;
    }
    // After the sections, because client.builtin_registries decides what the registries begin with.
    config_.registries = config_.client.builtin_registries ? builtin_registries() : std::vector<Registry>();
    apply_registries(file.registries);
  }

  void apply_environment(const Environment& environment) {
    std::vector<std::string> variables;
    variables.reserve(sections_.size());
    for (const auto& option : sections_) variables.push_back(variable_of(option.key));
    for (const auto& [variable, text] : environment) {
      const auto found = std::ranges::find(variables, variable);
      if (found != variables.end()) {
        apply_text(sections_[static_cast<std::size_t>(found - variables.begin())], text, "environment", variable);
      } else if (variable.starts_with("OXBOW_") && !is_foreign(variable)) {
        const auto near = suggest(variable, variables);
        warnings_.push_back({"environment", 0, 0,
                             near ? fmt::format("{} names no option; did you mean {}?", variable, *near)
                                  : fmt::format("{} names no option", variable)});
      }
    }
  }

  void apply_overrides(const Overrides& overrides) {
    std::vector<std::string> keys;
    keys.reserve(sections_.size());
    for (const auto& option : sections_) keys.push_back(option.key);
    for (const auto& [key, text] : overrides) {
      const auto found = std::ranges::find(keys, key);
      if (found != keys.end()) {
        apply_text(sections_[static_cast<std::size_t>(found - keys.begin())], text, "command line", key);
      } else {
        const auto near = suggest(key, keys);
        errors_.push_back(
            {"command line", 0, 0,
             near ? fmt::format("unknown key {}; did you mean {}?", key, *near) : fmt::format("unknown key {}", key)});
      }
    }
  }

  LoadResult finish(std::string_view file) {
    for (auto& problem : validate(config_)) {
      const auto place = place_of(problem.key, file);
      Diagnostic diagnostic{place.file, place.line, place.column, label(problem.key) + ": " + problem.message};
      (problem.is_warning ? warnings_ : errors_).push_back(std::move(diagnostic));
    }
    if (!errors_.empty()) {
      std::ranges::sort(errors_, {}, [](const Diagnostic& d) { return std::tuple(d.line, d.column, d.message); });
      return std::unexpected(std::move(errors_));
    }
    return Loaded{std::move(config_), std::move(warnings_)};
  }

  std::vector<Diagnostic>& errors() { return errors_; }

 private:
  /// Kubernetes' variables for a service of that name, and the path of the file itself.
  static bool is_foreign(std::string_view variable) {
    return variable.starts_with("OXBOW_SERVICE_") || variable.starts_with("OXBOW_PORT") || variable == "OXBOW_CONFIG";
  }

  template <typename Owner>
  bool apply(const std::vector<Option<Owner>>& options, Owner& owner, const Setting& setting,
             const std::string& shown) {
    const auto option = std::ranges::find(options, setting.key, &Option<Owner>::key);
    auto wrong = setting.bad_type.empty() ? option->set(owner, setting.value)
                                          : fmt::format("must be {}, not {}", describe(option->type), setting.bad_type);
    if (wrong.empty()) return true;
    errors_.push_back({setting.place.file, setting.place.line, setting.place.column, shown + ": " + wrong});
    return false;
  }

  void apply_text(const Option<Config>& option, std::string_view text, std::string_view source,
                  std::string_view shown) {
    const auto value = from_text(option.type, text);
    const auto wrong = value ? option.set(config_, *value) : value.error();
    if (!wrong.empty()) {
      errors_.push_back({std::string(source), 0, 0, fmt::format("{}: {}", shown, wrong)});
      return;
    }
    places_[option.key] = {std::string(source), 0, 0};
    if (option.key == "client.builtin_registries") rebuild_registries();
  }

  /// The registry that `name` means: one that exists, else a new one.
  std::size_t registry_index(const std::string& name) {
    const auto by_name = [&](const Registry& registry) {
      return registry.name == name || std::ranges::find(registry.aliases, name) != registry.aliases.end();
    };
    const auto found = std::ranges::find_if(config_.registries, by_name);
    if (found != config_.registries.end()) return static_cast<std::size_t>(found - config_.registries.begin());
    config_.registries.push_back(default_registry_entry(name));
    return config_.registries.size() - 1;
  }

  void apply_registries(const std::vector<RegistrySettings>& registries) {
    file_registries_ = registries;
    std::map<std::size_t, Place> seen;
    for (const auto& entry : registries) {
      std::string name;
      for (const auto& setting : entry.settings) {
        const auto* text = setting.key == "name" ? std::get_if<std::string>(&setting.value) : nullptr;
        if (text != nullptr) name = to_lower(*text);
      }
      if (name.empty()) {
        errors_.push_back({entry.place.file, entry.place.line, entry.place.column, "registry: must have a name"});
        continue;
      }
      const auto index = registry_index(name);
      const auto path = fmt::format("registry[{}]", index);
      if (const auto [first, inserted] = seen.emplace(index, entry.place); !inserted) {
        errors_.push_back({entry.place.file, entry.place.line, entry.place.column,
                           fmt::format("registry {} is already given at line {}", name, first->second.line)});
        continue;
      }
      places_[path] = entry.place;
      auto& registry = config_.registries[index];
      const auto own_name = registry.name;
      for (const auto& setting : entry.settings) {
        if (apply(registry_options_, registry, setting, fmt::format("registry {} {}", name, setting.key)))
          places_[path + "." + setting.key] = setting.place;
      }
      // A built-in registry that is named by one of its aliases keeps its own name.
      registry.name = own_name;
      if (registry.upstreams.empty()) registry.upstreams = {"https://" + registry.name};
    }
  }

  void rebuild_registries() {
    const auto errors = errors_.size();
    config_.registries = config_.client.builtin_registries ? builtin_registries() : std::vector<Registry>();
    apply_registries(file_registries_);
    errors_.resize(errors);  // they have been reported the first time
  }

  /// The place of the key, else of what holds it.
  Place place_of(std::string key, std::string_view file) const {
    while (true) {
      if (const auto found = places_.find(key); found != places_.end()) return found->second;
      // A key such as credential_source stands for the first of its parts that was given.
      if (const auto below = places_.lower_bound(key + ".");
          below != places_.end() && below->first.starts_with(key + ".")) {
        return below->second;
      }
      const auto dot = key.rfind('.');
      if (dot == std::string::npos) return {std::string(file), 0, 0};
      key.resize(dot);
    }
  }

  /// "registry[11].ca" is of no use to people: the registry's own name is.
  std::string label(const std::string& key) const {
    if (!key.starts_with("registry[")) return key;
    const auto close = key.find(']');
    const auto index = static_cast<std::size_t>(std::stoul(key.substr(9, close - 9)));
    return fmt::format("registry {}{}", config_.registries.at(index).name, key.substr(close + 1).empty() ? "" : " ") +
           (close + 2 < key.size() ? key.substr(close + 2) : "");
  }

  Config config_ = defaults();
  std::vector<Option<Config>> sections_ = section_options();
  std::vector<Option<Registry>> registry_options_ = registry_options();
  std::map<std::string, Place> places_;
  std::vector<RegistrySettings> file_registries_;
  std::vector<Diagnostic> errors_;
  std::vector<Diagnostic> warnings_;
};

std::expected<std::string, std::string> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return std::unexpected("cannot be read: " + error.message());
  if (size > kMaxFileBytes) return std::unexpected(fmt::format("is larger than {} bytes", kMaxFileBytes));
  std::ifstream stream(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  if (!stream) return std::unexpected(std::string("cannot be read"));
  return text;
}

}  // namespace

std::string to_string(const Diagnostic& diagnostic) {
  if (diagnostic.line == 0) return fmt::format("{}: {}", diagnostic.file, diagnostic.message);
  return fmt::format("{}:{}:{}: {}", diagnostic.file, diagnostic.line, diagnostic.column, diagnostic.message);
}

std::string variable_of(std::string_view key) {
  std::string out = "OXBOW_";
  for (const char c : key) out += c == '.' ? '_' : (c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
  return out;
}

LoadResult load_text(std::string_view toml, std::string_view name, const Environment& environment,
                     const Overrides& overrides) {
  Load load;
  if (toml.size() > kMaxFileBytes) {
    return std::unexpected(std::vector<Diagnostic>{{std::string(name), 0, 0, "is too large"}});
  }
  load.apply_file(read_toml(toml, name, load.errors()));
  load.apply_environment(environment);
  load.apply_overrides(overrides);
  return load.finish(name);
}

LoadResult load(std::optional<std::filesystem::path> file, const Environment& environment, const Overrides& overrides) {
  if (!file) return load_text("", "defaults", environment, overrides);
  const auto text = read_file(*file);
  if (!text) return std::unexpected(std::vector<Diagnostic>{{file->string(), 0, 0, text.error()}});
  return load_text(*text, file->string(), environment, overrides);
}

Environment oxbow_environment() {
  Environment out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (text.starts_with("OXBOW_") && equals != std::string_view::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

}  // namespace oxbow::config

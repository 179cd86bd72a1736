#include <fmt/format.h>

#include <toml++/toml.h>
#include <set>

#include "config/schema.h"
#include "config/source.h"
#include "config/suggest.h"

namespace oxbow::config {
namespace {

using Keys = std::set<std::string, std::less<>>;

bool is_prefix_of_a_key(const Keys& keys, const std::string& path) {
  const auto next = keys.lower_bound(path + ".");
  return next != keys.end() && next->starts_with(path + ".");
}

/// What a typing error at `prefix` may have meant: the next words of all keys below it.
std::vector<std::string> words_below(const Keys& keys, const std::string& prefix) {
  std::set<std::string> words;
  for (const auto& key : keys) {
    if (!key.starts_with(prefix)) continue;
    const auto rest = std::string_view(key).substr(prefix.size());
    words.emplace(rest.substr(0, rest.find('.')));
  }
  return {words.begin(), words.end()};
}

class Reader {
 public:
  Reader(std::string_view file, std::vector<Diagnostic>& errors) : file_(file), errors_(errors) {}

  FileSettings read(const toml::table& root) {
    FileSettings out;
    Keys keys;
    for (const auto& option : section_options()) keys.insert(option.key);
    Keys known_here = keys;
    known_here.insert("registry");  // so that [[registy]] is told what it should be
    for (auto&& [key, node] : root) {
      if (key.str() == "registry") {
        read_registries(node, out);
      } else {
        read_entry(key, node, "", keys, known_here, out.sections);
      }
    }
    return out;
  }

 private:
  Place place_of(const toml::source_region& source) const {
    return {std::string(file_), static_cast<unsigned>(source.begin.line), static_cast<unsigned>(source.begin.column)};
  }
  void error(const Place& place, std::string message) {
    errors_.push_back({place.file, place.line, place.column, std::move(message)});
  }

  void read_registries(const toml::node& node, FileSettings& out) {
    const auto* list = node.as_array();
    const bool right = list != nullptr && (list->empty() || list->is_homogeneous(toml::node_type::table));
    if (!right)
      return error(place_of(node.source()), "registry must be written as [[registry]], once for each registry");
    Keys keys;
    for (const auto& option : registry_options()) keys.insert(option.key);
    for (const auto& element : *list) {
      RegistrySettings registry{place_of(element.source()), {}};
      for (auto&& [key, value] : *element.as_table()) read_entry(key, value, "", keys, keys, registry.settings);
      out.registries.push_back(std::move(registry));
    }
  }

  void read_entry(const toml::key& key, const toml::node& node, const std::string& prefix, const Keys& keys,
                  const Keys& known, std::vector<Setting>& out) {
    const auto path = prefix + std::string(key.str());
    if (keys.contains(path)) {
      out.push_back(setting(path, node));
    } else if (is_prefix_of_a_key(keys, path)) {
      const auto* table = node.as_table();
      if (table == nullptr) return error(place_of(node.source()), path + " must be a table");
      for (auto&& [inner, value] : *table) read_entry(inner, value, path + ".", keys, keys, out);
    } else {
      const auto near = suggest(key.str(), words_below(known, prefix));
      error(place_of(key.source()),
            near ? fmt::format("unknown key {}; did you mean {}?", path, *near) : fmt::format("unknown key {}", path));
    }
  }

  Setting setting(std::string path, const toml::node& node) const {
    Setting out{std::move(path), std::string(), {}, place_of(node.source())};
    if (const auto* text = node.as_string()) {
      out.value = text->get();
    } else if (const auto* flag = node.as_boolean()) {
      out.value = flag->get();
    } else if (const auto* whole = node.as_integer()) {
      out.value = whole->get();
    } else if (const auto* real = node.as_floating_point()) {
      out.value = real->get();
    } else if (const auto* list = node.as_array();
               list != nullptr && (list->empty() || list->is_homogeneous<std::string>())) {
      std::vector<std::string> strings;
      for (const auto& element : *list) strings.push_back(element.as_string()->get());
      out.value = std::move(strings);
    } else {
      out.bad_type = node.is_array()   ? "a list of something else than strings"
                     : node.is_table() ? "a table"
                                       : "a date or time";
    }
    return out;
  }

  std::string_view file_;
  std::vector<Diagnostic>& errors_;
};

}  // namespace

FileSettings read_toml(std::string_view text, std::string_view name, std::vector<Diagnostic>& errors) {
  try {
    const auto root = toml::parse(text);
    return Reader(name, errors).read(root);
  } catch (const toml::parse_error& e) {
    errors.push_back({std::string(name), static_cast<unsigned>(e.source().begin.line),
                      static_cast<unsigned>(e.source().begin.column), std::string(e.description())});
  } catch (const std::exception& e) {
    errors.push_back({std::string(name), 0, 0, e.what()});
  }
  return {};
}

}  // namespace oxbow::config

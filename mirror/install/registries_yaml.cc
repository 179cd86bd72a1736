#include "mirror/install/registries_yaml.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <ranges>

#include "mirror/upstream/simple_yaml.h"

namespace oxbow::mirror::install {
namespace {

using Json = nlohmann::json;

/// A line with something on it besides a comment.
struct Line {
  std::size_t begin;  ///< offset in the text
  std::size_t next;   ///< where the following line begins
  std::size_t indent;
  std::string_view text;  ///< without the indentation
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    const auto indent = line.find_first_not_of(' ');
    const auto next = std::min(end + 1, text.size());
    if (indent != std::string_view::npos && line[indent] != '#' && line[indent] != '\r' && line != "---")
      out.push_back({at, next, indent, line.substr(indent)});
    at = next;
  }
  return out;
}

/// What stands after the key and its colon, if this is the key's line.
std::optional<std::string_view> value_after(std::string_view line, std::string_view key) {
  for (const auto* quote : {"", "\"", "'"}) {
    const auto wanted = fmt::format("{}{}{}:", quote, key, quote);
    if (!line.starts_with(wanted)) continue;
    auto rest = line.substr(wanted.size());
    if (!rest.empty() && rest.front() != ' ' && rest.front() != '\r') continue;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \r"), rest.size()));
    return rest.starts_with('#') ? std::string_view() : rest;
  }
  return std::nullopt;
}

Json without_null_mirrors(Json file) {
  if (file.is_null()) file = Json::object();
  if (file.contains("mirrors") && file["mirrors"].is_null()) file["mirrors"] = Json::object();
  return file;
}

std::string item(const std::string& mirror, const std::string& name) {
  return fmt::format("- \"{}\"  # by \"oxbow install k3s\" for {}\n", mirror, name);
}

class Editor {
 public:
  Editor(std::string_view text, Json before, const std::string& mirror)
      : edited_{std::string(text), {}}, before_(std::move(before)), mirror_(mirror) {}

  /// False: the form is not one of those that are understood.
  bool add(const std::string& name) {
    const auto lines = lines_of(edited_.text);
    const auto top = std::ranges::find_if(
        lines, [](const Line& line) { return line.indent == 0 && value_after(line.text, "mirrors").has_value(); });
    if (top == lines.end()) {
      insert(edited_.text.size(), "mirrors:  # by \"oxbow install k3s\"\n");
      insert(edited_.text.size(), entry(name, 2));
      return true;
    }
    if (!value_after(top->text, "mirrors")->empty()) return false;
    const auto first = top + 1;
    const std::size_t indent = first != lines.end() && first->indent > 0 ? first->indent : 2;
    for (auto it = first; it != lines.end() && it->indent >= indent; ++it) {
      const auto value = it->indent == indent ? value_after(it->text, name) : std::nullopt;
      if (value) return value->empty() && add_endpoint(name, it, lines.end());
    }
    insert(top->next, entry(name, indent));
    return true;
  }

  Edited take() { return std::move(edited_); }

 private:
  using Iterator = std::vector<Line>::const_iterator;

  /// Into the block of a registry that is there.
  bool add_endpoint(const std::string& name, Iterator registry, Iterator end) {
    const auto first = registry + 1;
    const std::size_t indent = first != end && first->indent > registry->indent ? first->indent : registry->indent + 2;
    for (auto it = first; it != end && it->indent >= indent; ++it) {
      const auto value = it->indent == indent ? value_after(it->text, "endpoint") : std::nullopt;
      if (!value) continue;
      if (value->starts_with('[')) {
        const auto at = static_cast<std::size_t>(value->data() - edited_.text.data()) + 1;
        const bool empty = value->substr(1).find_first_not_of(" ") == value->substr(1).find(']');
        // From the registry's name on, so that the part can be told from the same one of other registries.
        const auto before = edited_.text.substr(registry->begin, at - registry->begin);
        edited_.replace(registry->begin, before.size(), fmt::format("{}\"{}\"{}", before, mirror_, empty ? "" : ", "));
        return true;
      }
      const auto next = it + 1;
      if (!value->empty() || next == end || !next->text.starts_with("- ")) return false;
      insert(next->begin, std::string(next->indent, ' ') + item(mirror_, name));
      return true;
    }
    insert(registry->next,
           std::string(indent, ' ') + "endpoint:\n" + std::string(indent + 2, ' ') + item(mirror_, name));
    return true;
  }

  /// A registry that is not there: with the endpoints of "*", which it hides.
  std::string entry(const std::string& name, std::size_t indent) const {
    const std::string space(indent, ' ');
    const bool quoted = name.contains('*') || name.contains(':');
    auto out = fmt::format("{}{}:\n{}  endpoint:\n{}    {}", space, quoted ? Json(name).dump() : name, space, space,
                           item(mirror_, name));
    if (!before_.contains("mirrors") || !before_["mirrors"].contains("*") || name == "*") return out;
    const auto& all = before_["mirrors"]["*"];
    if (all.is_object() && all.contains("endpoint")) {
      for (const auto& one : all["endpoint"]) out += fmt::format("{}    - {}\n", space, one.dump());
    }
    return out;
  }

  void insert(std::size_t offset, std::string part) {
    if (offset > 0 && edited_.text[offset - 1] != '\n') part.insert(0, "\n");
    edited_.replace(offset, 0, std::move(part));
  }

  Edited edited_;
  Json before_;
  const std::string& mirror_;
};

bool has_endpoint(const Json& file, const std::string& name, const std::string& mirror) {
  if (!file.contains("mirrors") || !file["mirrors"].is_object()) return false;
  const auto& mirrors = file["mirrors"];
  if (!mirrors.contains(name) || !mirrors[name].is_object() || !mirrors[name].contains("endpoint")) return false;
  const auto& endpoints = mirrors[name]["endpoint"];
  return endpoints.is_array() && std::ranges::find(endpoints, Json(mirror)) != endpoints.end();
}

/// The same file, but for the mirror as the first endpoint of each of these.
bool only_adds(const Json& before, std::string_view after, const std::vector<std::string>& names,
               const std::string& mirror) {
  auto parsed = upstream::parse_simple_yaml(after);
  if (!parsed || !parsed->is_object() || !(*parsed)["mirrors"].is_object()) return false;
  auto& mirrors = (*parsed)["mirrors"];
  const auto old_mirrors = before.contains("mirrors") ? before["mirrors"] : Json::object();
  for (const auto& name : names) {
    if (!has_endpoint(*parsed, name, mirror) || mirrors[name]["endpoint"][0] != mirror) return false;
    auto& endpoints = mirrors[name]["endpoint"];
    endpoints.erase(0);
    if (!old_mirrors.contains(name))
      mirrors.erase(name);
    else if (endpoints.empty() && !(old_mirrors[name].is_object() && old_mirrors[name].contains("endpoint")))
      mirrors[name].erase("endpoint");
    if (mirrors.contains(name) && mirrors[name].empty() && old_mirrors[name].is_null()) mirrors[name] = nullptr;
  }
  if (mirrors.empty() && !before.contains("mirrors")) parsed->erase("mirrors");
  return *parsed == before;
}

}  // namespace

Result<YamlEdit> add_endpoints(std::string_view text, const std::vector<std::string>& names,
                               const std::string& mirror) {
  auto parsed = upstream::parse_simple_yaml(text);
  if (!parsed) return std::unexpected(parsed.error());
  const auto before = without_null_mirrors(std::move(*parsed));
  const auto refused = [&](const std::string& name) {
    return fail(
        Errc::kUnsupported,
        fmt::format("its form does not let {} be put in. By hand, below mirrors:\n  {}:\n    endpoint:\n      - \"{}\"",
                    name, Json(name).dump(), mirror));
  };
  if (!before.is_object() || (before.contains("mirrors") && !before["mirrors"].is_object()))
    return refused(names.front());
  const bool rewrites = before.contains("mirrors") && before["mirrors"].contains("*") &&
                        before["mirrors"]["*"].is_object() && before["mirrors"]["*"].contains("rewrite");
  Editor editor(text, before, mirror);
  std::vector<std::string> added;
  for (const auto& name : std::views::reverse(names)) {  // each goes above the one before
    if (has_endpoint(before, name, mirror)) continue;
    // An entry of its own would hide the rewriting.
    if (rewrites && name != "*" && !before["mirrors"].contains(name)) return refused(name);
    if (!editor.add(name)) return refused(name);
    added.push_back(name);
  }
  YamlEdit out{editor.take()};
  if (!added.empty() && !only_adds(before, out.edited.text, added, mirror)) return refused(added.front());
  return out;
}

}  // namespace oxbow::mirror::install

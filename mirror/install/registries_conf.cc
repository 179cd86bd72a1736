#include "mirror/install/registries_conf.h"

#include <fmt/format.h>

#include <algorithm>

#include "mirror/install/toml_text.h"

namespace oxbow::mirror::install {
namespace {

std::string location_of(const Target& target, std::string_view name) {
  return fmt::format("{}/{}", target.address(), name);
}

std::string prefix_of(const toml::table& registry) {
  const auto prefix = registry["prefix"].value<std::string>().value_or("");
  return prefix.empty() ? registry["location"].value<std::string>().value_or("") : prefix;
}

toml::table* find_registry(toml::table& file, std::string_view prefix) {
  auto* list = file["registry"].as_array();
  if (!list) return nullptr;
  for (auto& one : *list) {
    auto* table = one.as_table();
    if (table && prefix_of(*table) == prefix) return table;
  }
  return nullptr;
}

bool has_mirror(const toml::table& registry, std::string_view location) {
  const auto* mirrors = registry["mirror"].as_array();
  return mirrors && std::ranges::any_of(*mirrors, [&](const toml::node& one) {
           const auto* table = one.as_table();
           return table && (*table)["location"].value<std::string_view>() == location;
         });
}

/// The same file, but for our mirror as the first one of that registry.
bool only_adds(std::string_view before, std::string_view after, std::string_view prefix, std::string_view location) {
  const auto old_file = parse_toml(before);
  auto new_file = parse_toml(after);
  if (!old_file || !new_file) return false;
  auto* registry = find_registry(*new_file, prefix);
  auto* mirrors = registry ? (*registry)["mirror"].as_array() : nullptr;
  if (!mirrors || mirrors->empty() || !mirrors->front().is_table()) return false;
  if ((*mirrors->front().as_table())["location"].value<std::string_view>() != location) return false;
  mirrors->erase(mirrors->begin());
  if (mirrors->empty()) registry->erase("mirror");
  return *old_file == *new_file;
}

/// Where the line after the last key of the registry's own begins, which is above its first mirror and whatever
/// follows.
std::size_t place_for_mirror(std::string_view text, const toml::table& registry) {
  std::size_t last = first_line(registry).value_or(1);
  for (auto&& [key, value] : registry) {
    if (key.str() == "mirror") continue;
    last = std::max<std::size_t>({last, key.source().end.line, value.source().end.line});
  }
  return line_offset(text, last + 1);
}

}  // namespace

std::optional<std::string> name_in_path(const Target::Registry& registry) {
  const auto fits = [](const std::string& name) { return name.find_first_of(":[]") == std::string::npos; };
  if (fits(registry.name)) return registry.name;
  const auto alias = std::ranges::find_if(registry.aliases, fits);
  return alias == registry.aliases.end() ? std::nullopt : std::optional(*alias);
}

std::string mirror_table(const Target& target, std::string_view name) {
  return fmt::format("[[registry.mirror]]\nlocation = {}\n{}", toml_string(location_of(target, name)),
                     target.plaintext() ? "insecure = true\n" : "");
}

Result<std::optional<Edited>> add_registry_mirror(std::string_view text, const std::string& prefix,
                                                  const Target& target, std::string_view name) {
  auto file = parse_toml(text);
  if (!file) return std::unexpected(file.error());
  const auto* registry = find_registry(*file, prefix);
  OXBOW_INVARIANT(registry != nullptr);
  const auto location = location_of(target, name);
  if (has_mirror(*registry, location)) return std::nullopt;
  const auto at = place_for_mirror(text, *registry);
  const std::string newline = at > 0 && text[at - 1] != '\n' ? "\n" : "";
  Edited out{std::string(text), {}};
  out.replace(at, 0, newline + written_by("podman") + mirror_table(target, name));
  if (!only_adds(text, out.text, prefix, location)) {
    return fail(Errc::kUnsupported,
                fmt::format("its form does not let a mirror be put in; put this below the registry {}:\n{}", prefix,
                            mirror_table(target, name)));
  }
  return out;
}

}  // namespace oxbow::mirror::install

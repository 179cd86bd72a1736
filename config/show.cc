// `config show` and what a reload can change. Declared in loader.h.
#include <fmt/format.h>

#include <map>

#include "config/loader.h"
#include "config/schema.h"

namespace oxbow::config {
namespace {

template <typename Owner>
void show_option(std::string& out, const Option<Owner>& option, std::string_view key, const Owner& owner) {
  const auto value = option.get(owner);
  const bool unset = value == "\"\"" || value == "[]";
  if (unset && value == option.default_literal) return;
  out += fmt::format("{} = {}\n", key, value);
}

using Values = std::map<std::string, std::string>;

/// Every value of every registry under "registry <name>.<key>".
Values registry_values(const Config& config, const std::vector<Option<Registry>>& options, bool reloadable) {
  Values out;
  for (const auto& registry : config.registries) {
    for (const auto& option : options) {
      if (option.reloadable == reloadable)
        out[fmt::format("registry {}.{}", registry.name, option.key)] = option.exact(registry);
    }
  }
  return out;
}

}  // namespace

std::string show(const Config& config) {
  std::string out;
  const auto options = section_options();
  for (const auto& section : sections()) {
    const auto prefix = std::string(section.name) + ".";
    out += fmt::format("[{}]\n", section.name);
    for (const auto& option : options) {
      if (option.key.starts_with(prefix)) show_option(out, option, option.key.substr(prefix.size()), config);
    }
    out += '\n';
  }
  const auto registry = registry_options();
  for (const auto& entry : config.registries) {
    out += "[[registry]]\n";
    for (const auto& option : registry) show_option(out, option, option.key, entry);
    out += '\n';
  }
  if (!out.empty()) out.pop_back();
  return out;
}

bool can_reload(const Config& running, const Config& updated, std::vector<std::string>& needs_restart) {
  const auto before = needs_restart.size();
  for (const auto& option : section_options()) {
    if (!option.reloadable && option.exact(running) != option.exact(updated)) needs_restart.push_back(option.key);
  }
  const auto options = registry_options();
  const auto old_values = registry_values(running, options, false);
  for (const auto& [key, value] : registry_values(updated, options, false)) {
    const auto old = old_values.find(key);
    if (old != old_values.end() && old->second != value) needs_restart.push_back(key);
  }
  return needs_restart.size() == before;
}

}  // namespace oxbow::config

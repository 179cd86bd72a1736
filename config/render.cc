#include "config/render.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/schema.h"
#include "config/source.h"

namespace oxbow::config {
namespace {

constexpr std::size_t kColumns = 100;

/// `text` in lines that begin with "# ".
std::string comment(std::string_view text) {
  std::string out;
  std::string line = "#";
  while (!text.empty()) {
    const auto space = text.find(' ');
    const auto word = text.substr(0, space);
    if (line.size() + 1 + word.size() > kColumns) {
      out += line + "\n";
      line = "#";
    }
    line += ' ';
    line += word;
    text = space == std::string_view::npos ? std::string_view{} : text.substr(space + 1);
  }
  return out + line + "\n";
}

template <typename Owner>
std::string notes(const Option<Owner>& option) {
  std::string out;
  if (!option.choices.empty()) out += fmt::format(" One of: {}.", fmt::join(option.choices, ", "));
  if (!option.unit.empty()) out += fmt::format(" Unit: {}.", option.unit);
  return out;
}

bool is_empty_literal(const std::string& literal) { return literal == "\"\"" || literal == "[]"; }

template <typename Owner>
std::string example_value(const Option<Owner>& option) {
  if (!is_empty_literal(option.default_literal) || option.example.empty()) return option.default_literal;
  return option.type == Type::kStrings ? option.example : literal(option.example);
}

/// An option whose default is empty shows an example and says so: uncommenting it changes something.
template <typename Owner>
std::string toml_option(const Option<Owner>& option, std::string_view key) {
  auto help = option.help + notes(option);
  if (is_empty_literal(option.default_literal)) help += " Not set by default.";
  return comment(help) + fmt::format("#{} = {}\n", key, example_value(option));
}

template <typename Owner>
std::string table_row(const Option<Owner>& option, std::string_view key) {
  const auto type = option.choices.empty() ? std::string(describe(option.type))
                                           : fmt::format("`{}`", fmt::join(option.choices, "`, `"));
  const auto shown =
      is_empty_literal(option.default_literal) ? std::string("not set") : "`" + option.default_literal + "`";
  return fmt::format("| `{}` | {} | {}{} | {} | {} |\n", key, shown, type,
                     option.unit.empty() ? "" : "; " + option.unit, option.reloadable ? "reload" : "restart",
                     option.help);
}

constexpr std::string_view kTableHead = "| key | default | value | applied by | meaning |\n|---|---|---|---|---|\n";

std::string builtin_names() {
  std::vector<std::string> names;
  for (const auto& registry : builtin_registries()) names.push_back(registry.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::string example_toml() {
  std::string out = comment(
      "Oxbow's configuration: every option with its default. Lines that begin with # change nothing. "
      "The same list with more words: docs/configuration.md. Check with: oxbow config check");
  const auto options = section_options();
  for (const auto& section : sections()) {
    const auto prefix = std::string(section.name) + ".";
    out += "\n" + comment(section.help) + fmt::format("[{}]\n", section.name);
    for (const auto& option : options) {
      if (option.key.starts_with(prefix))
        out += toml_option(option, std::string_view(option.key).substr(prefix.size()));
    }
  }
  out +=
      "\n" + comment("One [[registry]] for each registry that is not built in, or whose settings differ. Built in: " +
                     builtin_names() + ".");
  out += "#[[registry]]\n";
  for (const auto& option : registry_options()) out += toml_option(option, option.key);
  return out;
}

std::string reference_markdown() {
  std::string out = R"(# Configuration

This page is made from the schema in `config/schema.cc`; a unit test compares the two.

With no file at all Oxbow runs on the defaults below. `oxbow serve --config FILE` reads a TOML file; `config/oxbow.toml` is
one with every option in it. What is said later wins: defaults, file, `OXBOW_<SECTION>_<KEY>` variables
(`OXBOW_CLIENT_LISTEN=127.0.0.1:5050,[::1]:5050`; lists are separated by commas, dots become `_`), flags. Registries
are configured in the file only.

`oxbow config check` reports everything that is wrong at once, with line and column; unknown keys are errors. Variables that
begin with `OXBOW_` and name no option are warnings. `oxbow config show` prints the effective configuration; passwords are
never in it.

Sizes: `"64MiB"`, `"200GiB"`, `"10MB"`, or a number of bytes. Durations: `"500ms"`, `"5s"`, `"10m"`, `"24h"`, `"7d"`, `"0"`.
"reload" in the tables: applied by SIGHUP; "restart": needs a restart, and SIGHUP says so.
)";
  const auto options = section_options();
  for (const auto& section : sections()) {
    const auto prefix = std::string(section.name) + ".";
    out += fmt::format("\n## [{}]\n\n{}\n\n{}", section.name, section.help, kTableHead);
    for (const auto& option : options) {
      if (option.key.starts_with(prefix)) out += table_row(option, std::string_view(option.key).substr(prefix.size()));
    }
  }
  out += fmt::format(R"(
## [[registry]]

One table for each registry. Built in, with anonymous access or the client's own credentials: {}.
A table with the name or an alias of a built-in registry changes only the keys that it gives; any other name adds a registry.
`client.builtin_registries = false` leaves only those of the file. A registry that is neither is not mirrored: its
requests get 404.

)",
                     builtin_names());
  out += kTableHead;
  for (const auto& option : registry_options()) out += table_row(option, option.key);
  return out;
}

}  // namespace oxbow::config

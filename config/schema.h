// Every option once: key, type, default, unit, help and check. The loader, `show`, oxbow.toml and docs/configuration.md
// are made from this list, so none of them can lack an option.
// Thread rule: the lists are built on each call; nothing is shared.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/value.h"

namespace oxbow::config {

/// An option of `Owner`: Config for the sections, Registry for [[registry]].
template <typename Owner>
struct Option {
  std::string key;  ///< "client.tls.certificate"; for a registry without a section: "tag_ttl"
  Type type = Type::kString;
  std::string unit;  ///< for the documentation; empty when the type says it
  std::string help;
  bool reloadable = false;  ///< SIGHUP applies it
  std::string example;      ///< shown instead of an empty default
  std::vector<std::string> choices;
  std::string default_literal;
  std::function<std::string(Owner&, const Value&)> set;  ///< empty: done; else what is wrong
  std::function<std::string(const Owner&)> get;          ///< TOML; secrets masked
  std::function<std::string(const Owner&)> exact;        ///< TOML; unmasked, for comparing only
  std::function<void(Owner&)> reset;                     ///< to the default
};

std::vector<Option<Config>> section_options();
/// `name` first. The defaults are those of a registry that is not built in.
std::vector<Option<Registry>> registry_options();

struct SectionText {
  std::string_view name;
  std::string_view help;
};
/// The sections in the order in which they are written.
std::vector<SectionText> sections();

}  // namespace oxbow::config

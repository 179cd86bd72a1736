// How a line of the schema becomes an Option: the field's own type chooses parser and printer.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "config/checks.h"
#include "config/schema.h"

namespace oxbow::config {

/// What a line of the schema may say beyond key, field, default and help.
struct Traits {
  std::string unit = {};
  bool reloadable = false;
  std::string example = {};
  Bounds bounds = {};
  bool is_secret_url = false;
};

template <typename T>
constexpr Type type_of() {
  if constexpr (std::is_same_v<T, std::string>)
    return Type::kString;
  else if constexpr (std::is_same_v<T, std::vector<std::string>>)
    return Type::kStrings;
  else if constexpr (std::is_same_v<T, bool>)
    return Type::kBool;
  else if constexpr (std::is_same_v<T, std::uint32_t>)
    return Type::kInteger;
  else if constexpr (std::is_same_v<T, double>)
    return Type::kNumber;
  else if constexpr (std::is_same_v<T, std::uint64_t>)
    return Type::kBytes;
  else if constexpr (std::is_same_v<T, Milliseconds>)
    return Type::kDuration;
  else
    return Type::kAmount;
}

/// `field(owner)` is a reference to the field, const for a const owner.
template <typename Owner, typename Field>
using FieldType = std::remove_cvref_t<std::invoke_result_t<Field, Owner&>>;

template <typename Owner, typename Field>
Option<Owner> option(std::string key, Field field, const FieldType<Owner, Field>& default_value, std::string help,
                     Traits traits = {}) {
  Option<Owner> out;
  out.key = std::move(key);
  out.type = type_of<FieldType<Owner, Field>>();
  out.unit = std::move(traits.unit);
  out.help = std::move(help);
  out.reloadable = traits.reloadable;
  out.example = std::move(traits.example);
  out.default_literal = literal(default_value);
  out.set = [field, bounds = traits.bounds](Owner& owner, const Value& value) {
    return parse_into(value, bounds, field(owner));
  };
  out.exact = [field](const Owner& owner) { return literal(field(owner)); };
  out.get = out.exact;
  if constexpr (std::is_same_v<FieldType<Owner, Field>, std::string>) {
    if (traits.is_secret_url) out.get = [field](const Owner& owner) { return literal(mask_url(field(owner))); };
  }
  out.reset = [field, default_value](Owner& owner) { field(owner) = default_value; };
  return out;
}

/// An option whose values are names.
template <typename Owner, typename Field, typename Enum = FieldType<Owner, Field>>
Option<Owner> choice(std::string key, Field field, const std::vector<std::pair<std::string, Enum>>& names,
                     Enum default_value, std::string help, bool reloadable) {
  const auto name_of = [names](Enum value) {
    const auto found = std::ranges::find(names, value, &std::pair<std::string, Enum>::second);
    return found == names.end() ? std::string() : found->first;
  };
  Option<Owner> out;
  out.key = std::move(key);
  out.type = Type::kChoice;
  out.help = std::move(help);
  out.reloadable = reloadable;
  out.default_literal = literal(name_of(default_value));
  for (const auto& [name, value] : names) out.choices.push_back(name);
  out.set = [field, names, choices = out.choices](Owner& owner, const Value& value) {
    const auto* text = std::get_if<std::string>(&value);
    const auto found =
        text == nullptr ? names.end() : std::ranges::find(names, *text, &std::pair<std::string, Enum>::first);
    if (found == names.end()) return fmt::format("must be one of {}", fmt::join(choices, ", "));
    field(owner) = found->second;
    return std::string();
  };
  out.get = [field, name_of](const Owner& owner) { return literal(name_of(field(owner))); };
  out.exact = out.get;
  out.reset = [field, default_value](Owner& owner) { field(owner) = default_value; };
  return out;
}

}  // namespace oxbow::config

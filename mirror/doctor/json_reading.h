// Values in the answers of a daemon, which may be of another version or no daemon at all: what is not there, or of
// another type, is nothing. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace oxbow::mirror::doctor {

/// `{"storage", "writable"}`; null when there is no such thing.
inline const nlohmann::json* value_at(const nlohmann::json& json, std::initializer_list<const char*> path) {
  const auto* at = &json;
  for (const auto* key : path) {
    if (!at->is_object()) return nullptr;
    const auto found = at->find(key);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return at;
}

inline std::string text_at(const nlohmann::json& json, std::initializer_list<const char*> path) {
  const auto* found = value_at(json, path);
  return found && found->is_string() ? found->get<std::string>() : std::string();
}

inline std::optional<std::uint64_t> number_at(const nlohmann::json& json, std::initializer_list<const char*> path) {
  const auto* found = value_at(json, path);
  if (!found || !found->is_number_integer() || (!found->is_number_unsigned() && found->get<std::int64_t>() < 0))
    return std::nullopt;
  return found->get<std::uint64_t>();
}

inline bool is_true(const nlohmann::json& json, std::initializer_list<const char*> path) {
  const auto* found = value_at(json, path);
  return found && found->is_boolean() && found->get<bool>();
}

inline bool is_false(const nlohmann::json& json, std::initializer_list<const char*> path) {
  const auto* found = value_at(json, path);
  return found && found->is_boolean() && !found->get<bool>();
}

/// Of an array; no elements of anything else.
inline const nlohmann::json& list_at(const nlohmann::json& json, std::initializer_list<const char*> path) {
  static const nlohmann::json kNone = nlohmann::json::array();
  const auto* found = value_at(json, path);
  return found && found->is_array() ? *found : kNone;
}

}  // namespace oxbow::mirror::doctor

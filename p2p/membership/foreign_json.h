// Reading JSON that somebody else's server wrote, without an exception and without trust in its words. For the .cc
// files that read etcd's and Kubernetes' answers. Thread rule: pure functions.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace oxbow::p2p {

/// A member of an object, or null.
inline const nlohmann::json& json_member(const nlohmann::json& object, const char* key) {
  static const nlohmann::json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

/// Empty and false for what is of another type.
inline std::string json_text(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}
inline bool json_flag(const nlohmann::json& value) { return value.is_boolean() && value.get<bool>(); }

/// Their words, fit for a log line.
inline std::string sayable(std::string_view text, std::size_t max_bytes) {
  std::string out(text.substr(0, max_bytes));
  std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return out;
}

}  // namespace oxbow::p2p

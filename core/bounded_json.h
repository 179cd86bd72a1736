// JSON from outside, parsed within limits: what upstream and peers send is not trusted to be small or flat.
// Thread rule: pure function. Include from .cc files only: the library's header is large.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow {

struct JsonLimits {
  std::size_t bytes;
  std::size_t depth;
  std::size_t values;
};

/// An object is a list in which each key is looked for from its start. So many looks in all for each of the values that
/// are allowed: of 200,000, an object of 2,530 keys, or full ones of 33.
inline constexpr std::size_t kMaxKeyLooksPerValue = 16;

/// An object. Errors: kInvalid (no JSON, or not an object), kLimit.
Result<nlohmann::ordered_json> parse_json_object(std::string_view text, const JsonLimits& limits);

/// The string at `key`, empty when it is missing or no string.
std::string string_at(const nlohmann::ordered_json& object, const char* key);

}  // namespace oxbow

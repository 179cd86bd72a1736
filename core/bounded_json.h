// JSON from outside, parsed within limits: what upstream and peers send is not trusted to be small or flat.
// Thread rule: pure function. Include from .cc files only: the library's header is large.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"

namespace oxbow {

struct JsonLimits {
  std::size_t bytes;
  std::size_t depth;
  std::size_t values;
};

/// An object. Errors: kInvalid (no JSON, or not an object), kLimit.
Result<nlohmann::ordered_json> parse_json_object(std::string_view text, const JsonLimits& limits);

/// The string at `key`, empty when it is missing or no string.
std::string string_at(const nlohmann::ordered_json& object, const char* key);

}  // namespace oxbow

#include "core/bounded_json.h"

#include <fmt/format.h>

namespace oxbow {
namespace {

/// Counts brackets and values without building anything: a parse of "[[[[…" would take forty bytes for each of them.
Result<> check_shape(std::string_view text, const JsonLimits& limits) {
  std::size_t depth = 0;
  std::size_t values = 1;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') {
      ++values;
      if (++depth > limits.depth) return fail(Errc::kLimit, "JSON is nested too deeply");
    }
    if ((c == '}' || c == ']') && depth > 0) --depth;
    if (c == ',' && ++values > limits.values) return fail(Errc::kLimit, "JSON has too many values");
  }
  if (values > limits.values) return fail(Errc::kLimit, "JSON has too many values");
  return {};
}

}  // namespace

Result<nlohmann::ordered_json> parse_json_object(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return fail(Errc::kLimit, fmt::format("JSON of {} bytes; the limit is {}", text.size(), limits.bytes));
  }
  if (auto shape = check_shape(text, limits); !shape) return std::unexpected(std::move(shape.error()));
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(Errc::kInvalid, "not JSON");
  if (!json.is_object()) return fail(Errc::kInvalid, "not a JSON object");
  return json;
}

std::string string_at(const nlohmann::ordered_json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace oxbow

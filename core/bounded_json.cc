#include "core/bounded_json.h"

#include <fmt/format.h>

#include <vector>

namespace oxbow {
namespace {

/// Counts brackets, keys and values without building anything: a parse of "[[[[…" would take forty bytes for each of
/// them, and one of an object of 400,000 keys minutes.
Result<> check_shape(std::string_view text, const JsonLimits& limits) {
  std::vector<std::size_t> keys;  // so far, of each object or list that is open
  std::size_t key_looks = 0;
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
      keys.push_back(0);
      if (keys.size() > limits.depth) return fail(Errc::kLimit, "JSON is nested too deeply");
    }
    if ((c == '}' || c == ']') && !keys.empty()) keys.pop_back();
    if (c == ':' && !keys.empty()) key_looks += keys.back()++;
    if (key_looks > kMaxKeyLooksPerValue * limits.values) {
      return fail(Errc::kLimit, "JSON has objects of too many keys");
    }
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

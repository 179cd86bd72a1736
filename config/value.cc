#include "config/value.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "core/encoding.h"

namespace oxbow::config {
namespace {

std::string expected_type(Type type) { return fmt::format("must be {}", describe(type)); }

/// `max` empty: there is none that a person would meet.
std::string out_of_bounds(std::string_view min, std::string_view max) {
  if (max.empty()) return fmt::format("must be at least {}", min);
  return fmt::format("must be between {} and {}", min, max);
}

/// Digits alone are taken exactly; parse_bytes goes through a double.
Result<std::uint64_t> exact_bytes(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && rest == text.data() + text.size()) return value;
  return parse_bytes(text);
}

std::string bytes_text(std::uint64_t bytes) {
  static constexpr std::array<std::pair<std::uint64_t, const char*>, 4> kUnits{
      {{1ULL << 40, "TiB"}, {1ULL << 30, "GiB"}, {1ULL << 20, "MiB"}, {1ULL << 10, "KiB"}}};
  for (const auto& [factor, name] : kUnits) {
    if (bytes != 0 && bytes % factor == 0) return fmt::format("{}{}", bytes / factor, name);
  }
  return fmt::to_string(bytes);
}

template <typename Number>
std::optional<Number> whole_number(std::string_view text) {
  Number value{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string_view describe(Type type) noexcept {
  switch (type) {
    case Type::kString:
      return "a string";
    case Type::kStrings:
      return "a list of strings";
    case Type::kBool:
      return "true or false";
    case Type::kInteger:
      return "a whole number";
    case Type::kNumber:
      return "a number";
    case Type::kBytes:
      return "a size such as \"64MiB\"";
    case Type::kDuration:
      return "a duration such as \"5s\" or \"24h\"";
    case Type::kAmount:
      return "a size such as \"200GiB\" or a share such as \"10%\"";
    case Type::kChoice:
      return "one of the names that the documentation lists";
  }
  return "something else";
}

std::expected<Value, std::string> from_text(Type type, std::string_view text) {
  text = trim(text);
  switch (type) {
    case Type::kStrings: {
      std::vector<std::string> list;
      while (!text.empty()) {
        const auto comma = text.find(',');
        if (const auto element = trim(text.substr(0, comma)); !element.empty()) list.emplace_back(element);
        text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
      }
      return list;
    }
    case Type::kBool:
      if (text == "true" || text == "1") return true;
      if (text == "false" || text == "0") return false;
      return std::unexpected(expected_type(type));
    case Type::kInteger:
      if (const auto number = whole_number<std::int64_t>(text)) return *number;
      return std::unexpected(expected_type(type));
    case Type::kNumber:
      if (const auto number = whole_number<double>(text)) return *number;
      return std::unexpected(expected_type(type));
    case Type::kString:
    case Type::kBytes:
    case Type::kDuration:
    case Type::kAmount:
    case Type::kChoice:
      return std::string(text);
  }
  return std::string(text);
}

std::string parse_into(const Value& value, const Bounds& bounds, std::string& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return expected_type(Type::kString);
  if (text->find('\0') != std::string::npos) return "must not hold a NUL character";
  if (bounds.check != nullptr && !text->empty()) {
    if (auto wrong = bounds.check(*text); !wrong.empty()) return wrong;
  }
  out = *text;
  return {};
}

std::string parse_into(const Value& value, const Bounds& bounds, std::vector<std::string>& out) {
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (list == nullptr) return expected_type(Type::kStrings);
  for (const auto& text : *list) {
    if (text.empty()) return "must not hold an empty string";
    if (text.find('\0') != std::string::npos) return "must not hold a NUL character";
    if (bounds.check == nullptr) continue;
    if (auto wrong = bounds.check(text); !wrong.empty()) return wrong;
  }
  out = *list;
  return {};
}

std::string parse_into(const Value& value, const Bounds&, bool& out) {
  const auto* flag = std::get_if<bool>(&value);
  if (flag == nullptr) return expected_type(Type::kBool);
  out = *flag;
  return {};
}

std::string parse_into(const Value& value, const Bounds& bounds, std::uint32_t& out) {
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number == nullptr) return expected_type(Type::kInteger);
  const double max = std::min(bounds.max, 4294967295.0);
  if (static_cast<double>(*number) < bounds.min || static_cast<double>(*number) > max) {
    return out_of_bounds(fmt::to_string(static_cast<std::int64_t>(bounds.min)),
                         fmt::to_string(static_cast<std::int64_t>(max)));
  }
  out = static_cast<std::uint32_t>(*number);
  return {};
}

std::string parse_into(const Value& value, const Bounds& bounds, double& out) {
  double number = 0;
  if (const auto* whole = std::get_if<std::int64_t>(&value))
    number = static_cast<double>(*whole);
  else if (const auto* real = std::get_if<double>(&value))
    number = *real;
  else
    return expected_type(Type::kNumber);
  if (!std::isfinite(number) || number < bounds.min || number > bounds.max) {
    return out_of_bounds(fmt::to_string(bounds.min), fmt::to_string(bounds.max));
  }
  out = number;
  return {};
}

std::string parse_into(const Value& value, const Bounds& bounds, std::uint64_t& out) {
  std::uint64_t bytes = 0;
  if (const auto* whole = std::get_if<std::int64_t>(&value); whole != nullptr && *whole >= 0) {
    bytes = static_cast<std::uint64_t>(*whole);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    const auto parsed = exact_bytes(*text);
    if (!parsed) return parsed.error().what();
    bytes = *parsed;
  } else {
    return expected_type(Type::kBytes);
  }
  if (static_cast<double>(bytes) < bounds.min || static_cast<double>(bytes) > bounds.max) {
    return out_of_bounds(bytes_text(static_cast<std::uint64_t>(bounds.min)),
                         bounds.max >= kUnbounded ? "" : bytes_text(static_cast<std::uint64_t>(bounds.max)));
  }
  out = bytes;
  return {};
}

std::string parse_into(const Value& value, const Bounds& bounds, Milliseconds& out) {
  const auto* text = std::get_if<std::string>(&value);
  const auto* whole = std::get_if<std::int64_t>(&value);
  // A bare number could be seconds or milliseconds; only 0 means the same in both.
  if (text == nullptr && (whole == nullptr || *whole != 0)) return expected_type(Type::kDuration);
  const auto parsed = parse_duration(text == nullptr ? "0" : std::string_view(*text));
  if (!parsed) return parsed.error().what();
  const auto ms = static_cast<double>(parsed->count());
  if (ms < bounds.min || ms > bounds.max) {
    const auto show = [](double limit) { return format_duration(Milliseconds(static_cast<std::int64_t>(limit))); };
    return out_of_bounds(show(bounds.min), bounds.max >= kUnbounded ? "" : show(bounds.max));
  }
  out = *parsed;
  return {};
}

std::string parse_into(const Value& value, const Bounds&, Amount& out) {
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && text->ends_with('%')) {
    const auto percent = whole_number<double>(trim(std::string_view(*text).substr(0, text->size() - 1)));
    if (!percent || !(*percent >= 0 && *percent <= 100)) return "must be a share between 0% and 100%";
    out = Amount{true, *percent, 0};
    return {};
  }
  std::uint64_t bytes = 0;
  if (auto wrong = parse_into(value, Bounds{}, bytes); !wrong.empty()) return expected_type(Type::kAmount);
  out = Amount{false, 0, bytes};
  return {};
}

std::string literal(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string literal(const std::vector<std::string>& value) {
  std::string out = "[";
  for (const auto& text : value) {
    if (out.size() > 1) out += ", ";
    out += literal(text);
  }
  return out + "]";
}

std::string literal(bool value) { return value ? "true" : "false"; }
std::string literal(std::uint32_t value) { return fmt::to_string(value); }
std::string literal(double value) {
  const auto text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}
std::string literal(std::uint64_t value) { return "\"" + bytes_text(value) + "\""; }
std::string literal(Milliseconds value) { return "\"" + format_duration(value) + "\""; }
std::string literal(const Amount& value) {
  return value.is_percent ? fmt::format("\"{}%\"", value.percent) : literal(value.bytes);
}

}  // namespace oxbow::config

// A value on its way from TOML, a variable or a flag into a typed field, and back into TOML text.
// Thread rule: pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace oxbow::config {

enum class Type { kString, kStrings, kBool, kInteger, kNumber, kBytes, kDuration, kAmount, kChoice };

/// "a list of strings": what an error says would be right.
std::string_view describe(Type type) noexcept;

using Value = std::variant<std::string, std::vector<std::string>, bool, std::int64_t, double>;

/// The text of a variable or flag as the value that TOML would have given: lists are separated by commas.
std::expected<Value, std::string> from_text(Type type, std::string_view text);

inline constexpr double kUnbounded = 9e18;

/// What a field may hold. For numbers, bytes and durations (ms); `check` sees each string and answers with what is
/// wrong.
struct Bounds {
  double min = 0;
  double max = kUnbounded;
  std::string (*check)(std::string_view) = nullptr;
};

// parse_into: empty when `out` has been set, else what is wrong, for people.
std::string parse_into(const Value& value, const Bounds& bounds, std::string& out);
std::string parse_into(const Value& value, const Bounds& bounds, std::vector<std::string>& out);
std::string parse_into(const Value& value, const Bounds& bounds, bool& out);
std::string parse_into(const Value& value, const Bounds& bounds, std::uint32_t& out);
std::string parse_into(const Value& value, const Bounds& bounds, double& out);
std::string parse_into(const Value& value, const Bounds& bounds, std::uint64_t& out);  // bytes
std::string parse_into(const Value& value, const Bounds& bounds, Milliseconds& out);
std::string parse_into(const Value& value, const Bounds& bounds, Amount& out);

// literal: TOML that parses to the same value.
std::string literal(const std::string& value);
std::string literal(const std::vector<std::string>& value);
std::string literal(bool value);
std::string literal(std::uint32_t value);
std::string literal(double value);
std::string literal(std::uint64_t value);  // bytes
std::string literal(Milliseconds value);
std::string literal(const Amount& value);

}  // namespace oxbow::config

// Reads the fields of one JSON object of a message within bounds. The first thing that is wrong is kept as the error;
// what is absent takes its default, so that a reader goes straight through and asks once at its end.
// Thread rule: one thread. Lifetime: the object outlives it. Include from .cc files only: nlohmann's header is large.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::p2p {

using Json = nlohmann::ordered_json;

class Fields {
 public:
  explicit Fields(const Json& object);

  bool flag(const char* key, bool otherwise = false);
  std::uint64_t number(const char* key, std::uint64_t max, std::uint64_t otherwise = 0);
  std::uint32_t number32(const char* key, std::uint32_t max, std::uint32_t otherwise = 0) {
    return static_cast<std::uint32_t>(number(key, max, otherwise));
  }
  double real(const char* key, double min, double max, double otherwise);
  std::string text(const char* key, std::size_t max_bytes);
  std::string name(const char* key);
  std::vector<std::string> texts(const char* key, std::size_t max_count, std::size_t max_bytes);
  std::vector<std::uint32_t> numbers(const char* key, std::size_t max_count, std::uint32_t max);
  /// Null: absent.
  const Json* list(const char* key, std::size_t max_count);
  const Json* object(const char* key);

  void refuse(Errc code, std::string_view key, std::string_view why);
  /// Takes over what is wrong with an object inside this one.
  void note(const Fields& inner);
  bool ok() const noexcept { return !error_; }
  /// The value, unless something was wrong.
  template <typename T>
  Result<T> finish(T value) const {
    if (error_) return std::unexpected(*error_);
    return value;
  }

 private:
  const Json* find(const char* key) const;

  const Json& object_;
  std::optional<Error> error_;
};

/// One line of JSON; what is not UTF-8 is replaced.
std::string dump(const Json& json);
/// An object of at most `bytes`, of bounded depth and number of values. Errors: kInvalid, kLimit.
Result<Json> parse_message(std::string_view text, std::size_t bytes);

}  // namespace oxbow::p2p

// Logging: one line an event, `key=value` fields, never a credential. Debug: a line a request. Info: a line a pull.
// Thread rule: all functions from any thread. Never fails a caller.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::log {

enum class Level { kDebug, kInfo, kWarn, kError };

struct Field {
  std::string_view key;
  std::string value;

  Field(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <typename Number>
    requires(std::integral<Number> || std::floating_point<Number>)
  Field(std::string_view k, Number v) : key(k), value(fmt::to_string(v)) {}
  explicit Field(const Error& e) : key("error"), value(e.what()) {}
};

/// Once, from main, before threads exist. `json` writes one object a line instead.
void init(Level level, bool json);
/// Any thread, any time.
void set_level(Level level);
bool enabled(Level level) noexcept;

/// Hears every warning and error, whatever the level that is written. Called on the thread that logs, many at once; it
/// must not log a warning or an error itself. None: an empty function. When `set_listener` returns, the one before is
/// not running and will not run again.
using Listener = std::function<void(Level level, std::string_view message, std::span<const Field> fields)>;
void set_listener(Listener listener);

void write(Level level, std::string_view message, std::initializer_list<Field> fields);
inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kDebug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kInfo, message, fields);
}
inline void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kWarn, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
  write(Level::kError, message, fields);
}

}  // namespace oxbow::log

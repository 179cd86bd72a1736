#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <shared_mutex>

namespace oxbow::log {
namespace {

bool json_lines = false;

/// Held shared while the listener runs.
std::shared_mutex listener_mutex;
Listener listener;

spdlog::level::level_enum to_spdlog(Level level) noexcept {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

void append_escaped(fmt::memory_buffer& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

bool is_plain(std::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  }
  return true;
}

}  // namespace

void init(Level level, bool json) {
  json_lines = json;
  auto logger = spdlog::stderr_logger_mt("oxbow");
  spdlog::set_default_logger(logger);
  spdlog::set_level(to_spdlog(level));
  spdlog::set_pattern(json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  spdlog::flush_on(spdlog::level::info);
}

void set_level(Level level) { spdlog::set_level(to_spdlog(level)); }

bool enabled(Level level) noexcept { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }

void set_listener(Listener heard_by) {
  const std::unique_lock lock(listener_mutex);
  listener = std::move(heard_by);
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  if (level == Level::kWarn || level == Level::kError) {
    const std::shared_lock lock(listener_mutex);
    if (listener) listener(level, message, std::span(fields.begin(), fields.size()));
  }
  if (!enabled(level)) return;
  fmt::memory_buffer line;
  if (json_lines) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    fmt::format_to(std::back_inserter(line), "{{\"time_ms\":{},\"level\":\"{}\",\"message\":",
                   std::chrono::duration_cast<std::chrono::milliseconds>(now).count(),
                   spdlog::level::to_string_view(to_spdlog(level)));
    append_escaped(line, message);
    for (const auto& field : fields) {
      line.push_back(',');
      append_escaped(line, field.key);
      line.push_back(':');
      append_escaped(line, field.value);
    }
    line.push_back('}');
  } else {
    line.append(message);
    for (const auto& field : fields) {
      line.push_back(' ');
      line.append(field.key);
      line.push_back('=');
      if (is_plain(field.value))
        line.append(field.value);
      else
        append_escaped(line, field.value);
    }
  }
  spdlog::default_logger_raw()->log(to_spdlog(level), std::string_view(line.data(), line.size()));
}

}  // namespace oxbow::log

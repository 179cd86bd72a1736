#include "mirror/doctor/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace oxbow::mirror::doctor {

std::string_view to_string(Level level) noexcept {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kSkipped:
      return "skipped";
    case Level::kWarn:
      return "warn";
    case Level::kFail:
      return "fail";
  }
  std::abort();
}

void Findings::add(Level level, std::string id, std::string text, std::string meaning, std::string fix) {
  for (auto* shown : {&text, &meaning, &fix}) {
    std::ranges::replace_if(*shown, [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7F; }, '?');
  }
  all_.push_back({level, std::move(id), std::move(text), std::move(meaning), std::move(fix)});
}

void Findings::ok(std::string id, std::string text) { add(Level::kOk, std::move(id), std::move(text), {}, {}); }

void Findings::skipped(std::string id, std::string text) {
  add(Level::kSkipped, std::move(id), std::move(text), {}, {});
}

void Findings::warn(std::string id, std::string text, std::string meaning, std::string fix) {
  add(Level::kWarn, std::move(id), std::move(text), std::move(meaning), std::move(fix));
}

void Findings::fail(std::string id, std::string text, std::string meaning, std::string fix) {
  add(Level::kFail, std::move(id), std::move(text), std::move(meaning), std::move(fix));
}

std::size_t count(const std::vector<Group>& groups, Level level) {
  std::size_t out = 0;
  for (const auto& group : groups)
    out += static_cast<std::size_t>(std::ranges::count(group.findings, level, &Finding::level));
  return out;
}

std::string human_time(std::chrono::seconds time) {
  const auto seconds = std::abs(time.count());
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 2 * 86400) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} days", seconds / 86400);
}

std::string joined(const std::vector<std::string>& words, std::size_t at_most) {
  const auto shown = std::min(at_most, words.size());
  std::string out =
      fmt::format("{}", fmt::join(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (words.size() > shown) out += fmt::format(" and {} more", words.size() - shown);
  return out;
}

}  // namespace oxbow::mirror::doctor

#include "mirror/doctor/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace oxbow::mirror::doctor {
namespace {

using Json = nlohmann::ordered_json;

const char* colour_of(Level level) {
  switch (level) {
    case Level::kOk:
      return "\033[32m";
    case Level::kSkipped:
      return "\033[2m";
    case Level::kWarn:
      return "\033[33m";
    case Level::kFail:
      return "\033[31m";
  }
  std::abort();
}

/// Broken at blanks; every line but the first begins with `indent` blanks. Line breaks of the text are kept.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent;
  const auto new_line = [&] {
    out += "\n" + std::string(indent, ' ');
    column = indent;
  };
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(" \n"), text.size());
    const auto word = text.substr(0, end);
    if (column > indent && column + 1 + word.size() > width) new_line();
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    if (end < text.size() && text[end] == '\n' && end + 1 < text.size()) new_line();
    text = text.substr(std::min(end + 1, text.size()));
  }
  return out;
}

std::string plural(std::size_t number, const char* one) {
  return fmt::format("{} {}{}", number, one, number == 1 ? "" : "s");
}

void add_finding(std::string& out, const Finding& finding, const ReportStyle& style) {
  constexpr std::size_t kIndent = 11;
  const auto word = fmt::format("{:<7}", finding.level == Level::kFail ? "FAIL" : to_string(finding.level));
  const auto shown = style.colour ? colour_of(finding.level) + word + "\033[0m" : word;
  out += fmt::format("  {}  {}\n", shown, wrapped(finding.text, kIndent, style.width));
  const std::string indent(kIndent, ' ');
  if (!finding.meaning.empty()) out += indent + wrapped(finding.meaning, kIndent, style.width) + "\n";
  if (!finding.fix.empty()) out += indent + "do: " + wrapped(finding.fix, kIndent + 4, style.width) + "\n";
}

}  // namespace

std::string report_text(const std::vector<Group>& groups, const ReportStyle& style) {
  std::string out;
  for (const auto& group : groups) {
    if (group.findings.empty()) continue;
    out += group.name + "\n";
    for (const auto& finding : group.findings) add_finding(out, finding, style);
  }
  const auto failed = count(groups, Level::kFail);
  const auto warnings = count(groups, Level::kWarn);
  out += fmt::format("\n{}: {} failed, {}, {} good",
                     failed > 0     ? "something is wrong"
                     : warnings > 0 ? "it works"
                                    : "all is well",
                     failed, plural(warnings, "warning"), count(groups, Level::kOk));
  const auto skipped = count(groups, Level::kSkipped);
  if (skipped > 0) out += fmt::format(", {} skipped", skipped);
  out += "\n";
  if (!style.as_root) out += "Not everything can be seen by this user; all is with: sudo oxbow doctor\n";
  return out;
}

std::string report_json(const std::vector<Group>& groups) {
  const auto failed = count(groups, Level::kFail);
  Json out{{"healthy", failed == 0},
           {"failed", failed},
           {"warnings", count(groups, Level::kWarn)},
           {"skipped", count(groups, Level::kSkipped)},
           {"groups", Json::array()}};
  const auto or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  for (const auto& group : groups) {
    auto findings = Json::array();
    for (const auto& finding : group.findings) {
      findings.push_back({{"level", to_string(finding.level)},
                          {"id", finding.id},
                          {"text", finding.text},
                          {"meaning", or_null(finding.meaning)},
                          {"fix", or_null(finding.fix)}});
    }
    out["groups"].push_back({{"name", group.name}, {"findings", std::move(findings)}});
  }
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace oxbow::mirror::doctor

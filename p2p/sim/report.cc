#include "p2p/sim/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::size_t kTextColumns = 100;

/// Characters, not bytes: cells hold "×" and "±", and all of them are one column wide.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string wrapped(const std::string& text) {
  std::string out, line;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto end = std::min(text.find(' ', at), text.size());
    const auto word = text.substr(at, end - at);
    if (!line.empty() && width_of(line) + 1 + width_of(word) > kTextColumns) out += std::exchange(line, {}) + '\n';
    line += (line.empty() ? "" : " ") + word;
    at = end + 1;
  }
  return out + line + '\n';
}

std::vector<std::size_t> widths_of(const Table& table) {
  std::vector<std::size_t> out;
  const auto widen = [&](const std::vector<std::string>& cells) {
    if (out.size() < cells.size()) out.resize(cells.size());
    for (std::size_t i = 0; i < cells.size(); ++i) out[i] = std::max(out[i], width_of(cells[i]));
  };
  widen(table.columns);
  for (const auto& row : table.rows) widen(row);
  return out;
}

/// Names to the left, figures to the right.
std::string text_row(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) {
  std::string out = "  ";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string pad(widths[i] - width_of(cells[i]), ' ');
    out += i == 0 ? cells[i] + pad : "  " + pad + cells[i];
  }
  out.erase(out.find_last_not_of(' ') + 1);
  return out + '\n';
}

std::string text_table(const Table& table) {
  const auto widths = widths_of(table);
  std::size_t total = 0;
  for (const auto width : widths) total += width + 2;
  std::string out = "\n";
  if (!table.title.empty()) out += "  " + table.title + '\n';
  out += text_row(table.columns, widths);
  out += "  " + std::string(total - std::min<std::size_t>(total, 2), '-') + '\n';
  for (const auto& row : table.rows) out += text_row(row, widths);
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const auto& cell : cells) {
    out += ' ';
    for (const char c : cell) {
      if (c == '|') out += '\\';
      out += c;
    }
    out += " |";
  }
  return out + '\n';
}

std::string markdown_table(const Table& table) {
  std::string out = "\n";
  if (!table.title.empty()) out += "**" + table.title + "**\n\n";
  out += markdown_row(table.columns) + "|";
  for (std::size_t i = 0; i < table.columns.size(); ++i) out += i == 0 ? "---|" : "---:|";
  out += '\n';
  for (const auto& row : table.rows) out += markdown_row(row);
  return out;
}

}  // namespace

std::string to_text(const Report& report) {
  std::string out = report.title + '\n' + std::string(width_of(report.title), '=') + '\n';
  if (!report.command.empty()) out += report.command + '\n';
  for (const auto& section : report.sections) {
    out += '\n' + section.title + '\n' + std::string(width_of(section.title), '-') + '\n';
    if (!section.says.empty()) out += wrapped(section.says);
    for (const auto& table : section.tables) out += text_table(table);
  }
  return out;
}

std::string to_markdown(const Report& report) {
  std::string out = "## " + report.title + '\n';
  if (!report.command.empty()) out += "\n`" + report.command + "`\n";
  for (const auto& section : report.sections) {
    out += "\n### " + section.title + '\n';
    if (!section.says.empty()) out += '\n' + section.says + '\n';
    for (const auto& table : section.tables) out += markdown_table(table);
  }
  return out;
}

std::string to_json(const Report& report) {
  // Ordered: what a simulation wrote stays in the order in which it is best read.
  nlohmann::ordered_json out{{"title", report.title}, {"command", report.command}};
  const auto raw = nlohmann::ordered_json::parse(report.json, nullptr, false);
  OXBOW_INVARIANT(raw.is_object());
  for (const auto& [name, value] : raw.items()) out[name] = value;
  return out.dump(2) + '\n';
}

}  // namespace oxbow::p2p::sim

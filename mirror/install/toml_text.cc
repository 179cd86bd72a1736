#include "mirror/install/toml_text.h"

#include <fmt/format.h>

#include <algorithm>

namespace oxbow::mirror::install {

Result<toml::table> parse_toml(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& wrong) {
    return fail(Errc::kInvalid, fmt::format("line {}, column {}: {}", wrong.source().begin.line,
                                            wrong.source().begin.column, wrong.description()));
  } catch (const std::exception& wrong) {
    return fail(Errc::kInvalid, wrong.what());
  }
}

std::size_t line_offset(std::string_view text, std::size_t line) {
  std::size_t at = 0;
  for (std::size_t n = 1; n < line; ++n) {
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) return text.size();
    at = end + 1;
  }
  return at;
}

std::size_t above_comments(std::string_view text, std::size_t offset) {
  while (offset > 0) {
    const auto end = offset - 1;  // the newline of the line above
    const auto previous = end == 0 ? std::string_view::npos : text.rfind('\n', end - 1);
    const auto begin = previous == std::string_view::npos ? 0 : previous + 1;
    const auto line = text.substr(begin, end - begin);
    const auto word = line.find_first_not_of(" \t");
    if (word == std::string_view::npos || line[word] != '#') break;
    offset = begin;
  }
  return offset;
}

std::optional<std::size_t> first_line(const toml::node& node) {
  std::optional<std::size_t> out;
  const auto take = [&](std::optional<std::size_t> line) {
    if (line && (!out || *line < *out)) out = line;
  };
  if (node.source().begin.line > 0) take(node.source().begin.line);
  if (const auto* table = node.as_table()) {
    for (auto&& [key, value] : *table) {
      if (key.source().begin.line > 0) take(key.source().begin.line);
      take(first_line(value));
    }
  } else if (const auto* array = node.as_array()) {
    for (const auto& value : *array) take(first_line(value));
  }
  return out;
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

}  // namespace oxbow::mirror::install

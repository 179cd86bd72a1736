#include "mirror/upstream/simple_yaml.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/encoding.h"

namespace oxbow::mirror::upstream {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;

struct Line {
  std::size_t indent;
  std::string_view text;
  int number;
};

/// Where a comment begins: '#' at the start or after a space, outside of quotes.
std::string_view without_comment(std::string_view line) {
  char quote = '\0';
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) {
      return line.substr(0, i);
    }
  }
  return line;
}

std::string scalar(std::string_view text) {
  text = trim(text);
  if (text.size() < 2 || text.front() != text.back() || (text.front() != '"' && text.front() != '\''))
    return std::string(text);
  const bool escapes = text.front() == '"';
  std::string value;
  text = text.substr(1, text.size() - 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 < text.size() && (escapes ? text[i] == '\\' : text.substr(i, 2) == "''")) ++i;
    value += text[i];
  }
  return value;
}

/// The colon that ends a key: outside of quotes, before a space or the end.
std::optional<std::size_t> key_end(std::string_view text) {
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (i == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == ':' && (i + 1 == text.size() || text[i + 1] == ' ')) {
      return i;
    }
  }
  return std::nullopt;
}

bool is_item(std::string_view text) { return text == "-" || text.starts_with("- "); }

class Parser {
 public:
  Result<json> parse(std::string_view text) {
    if (auto split = split_lines(text); !split) return std::unexpected(split.error());
    if (lines_.empty()) return json();
    auto value = block(lines_[0].indent, 0);
    if (value && at_ < lines_.size()) return broken("is indented unexpectedly");
    return value;
  }

 private:
  Result<> split_lines(std::string_view text) {
    for (int number = 1; !text.empty(); ++number) {
      const auto end = std::min(text.find('\n'), text.size());
      auto line = without_comment(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.remove_suffix(1);
      const auto indent = line.find_first_not_of(' ');
      if (indent == std::string_view::npos || line == "---") continue;
      if (line[indent] == '\t') return fail(Errc::kInvalid, fmt::format("line {}: indented by a tab", number));
      lines_.push_back({indent, line.substr(indent), number});
    }
    return {};
  }

  std::unexpected<Error> broken(std::string_view how) const {
    const auto number = lines_.empty() ? 0 : lines_[std::min(at_, lines_.size() - 1)].number;
    return fail(Errc::kInvalid, fmt::format("line {}: {}", number, how));
  }

  Result<json> block(std::size_t indent, int depth) {
    if (depth > kMaxDepth) return broken("nested too deeply");
    return is_item(lines_[at_].text) ? sequence(indent, depth) : mapping(indent, depth);
  }

  Result<json> sequence(std::size_t indent, int depth) {
    json items = json::array();
    while (at_ < lines_.size() && lines_[at_].indent == indent && is_item(lines_[at_].text)) {
      auto& line = lines_[at_];
      const auto inner = line.text.find_first_not_of(' ', 1);
      Result<json> item;
      if (inner == std::string_view::npos) {
        ++at_;
        item = nested(indent + 1, depth);
      } else if (is_item(line.text.substr(inner)) || key_end(line.text.substr(inner))) {
        line = {indent + inner, line.text.substr(inner), line.number};  // "- key: value" begins a block of its own
        item = block(indent + inner, depth + 1);
      } else {
        item = value(line.text.substr(inner));
        ++at_;
      }
      if (!item) return item;
      items.push_back(std::move(*item));
    }
    return items;
  }

  Result<json> mapping(std::size_t indent, int depth) {
    json members = json::object();
    while (at_ < lines_.size() && lines_[at_].indent == indent && !is_item(lines_[at_].text)) {
      const auto text = lines_[at_].text;
      const auto colon = key_end(text);
      if (!colon) return broken("is no `key: value`");
      const auto rest = trim(text.substr(*colon + 1));
      Result<json> member;
      if (rest.empty()) {
        ++at_;
        // A sequence may stand at its key's own indentation.
        const bool level = at_ < lines_.size() && lines_[at_].indent == indent && is_item(lines_[at_].text);
        member = level ? sequence(indent, depth + 1) : nested(indent + 1, depth);
      } else {
        member = value(rest);
        ++at_;
      }
      if (!member) return member;
      members[scalar(text.substr(0, *colon))] = std::move(*member);
    }
    return members;
  }

  Result<json> nested(std::size_t least_indent, int depth) {
    if (at_ >= lines_.size() || lines_[at_].indent < least_indent) return json();
    return block(lines_[at_].indent, depth + 1);
  }

  Result<json> value(std::string_view text) const {
    if (text == "{}") return json::object();
    if (text.starts_with('{') || text.starts_with('&') || text.starts_with('*') || text.starts_with('!') ||
        text.starts_with('|') || text.starts_with('>')) {
      if (!text.starts_with('*') || text.starts_with("* ")) return broken("uses YAML that is not supported here");
    }
    if (!text.starts_with('[')) return json(scalar(text));
    if (!text.ends_with(']')) return broken("has a list that does not end on its line");
    json items = json::array();
    text = trim(text.substr(1, text.size() - 2));
    while (!text.empty()) {
      const auto comma = std::min(text.find(','), text.size());
      items.push_back(scalar(text.substr(0, comma)));
      text = trim(text.substr(std::min(comma + 1, text.size())));
    }
    return items;
  }

  std::vector<Line> lines_;
  std::size_t at_ = 0;
};

}  // namespace

Result<json> parse_simple_yaml(std::string_view text) { return Parser().parse(text); }

}  // namespace oxbow::mirror::upstream

// TOML files that keep their text: what is put in is put in as text, and a second reading proves that nothing else in
// the file changed its meaning. Thread rule: pure functions.
#pragma once

#include <toml++/toml.h>

#include <optional>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::mirror::install {

/// Errors: kInvalid, with line and column.
Result<toml::table> parse_toml(std::string_view text);

/// Where a line begins; lines count from 1, as toml++ does. The end of the text for lines after it.
std::size_t line_offset(std::string_view text, std::size_t line);
/// Where the comment lines that stand directly above the line at `offset` begin: they belong to it.
std::size_t above_comments(std::string_view text, std::size_t offset);
/// The smallest line on which this node, or anything in it, is written; nothing for what is written nowhere.
std::optional<std::size_t> first_line(const toml::node& node);

/// As a TOML string, quoted.
std::string toml_string(std::string_view text);

}  // namespace oxbow::mirror::install

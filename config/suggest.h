// "Did you mean": the known name nearest to a misspelt one.
// Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oxbow::config {

/// Edits (insert, delete, replace one character, swap neighbours) between two short texts.
std::size_t edit_distance(std::string_view a, std::string_view b);
/// Nothing when no name is near: at most a third of its characters may differ.
std::optional<std::string> suggest(std::string_view text, const std::vector<std::string>& known);

}  // namespace oxbow::config

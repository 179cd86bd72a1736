// The map of a pull's stripes as one line, and what its characters mean. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "mirror/operator/table.h"

namespace oxbow::mirror {

/// At most `columns` characters; where several stripes share one, it shows the worst of them.
std::string narrowed_map(std::string_view map, std::size_t columns);
/// Coloured, where there are colours.
std::string painted_map(std::string_view map, const Terminal& terminal);
/// "u upstream  p peer …": of the characters that occur in `seen`.
std::string map_legend(std::string_view seen, const Terminal& terminal);

}  // namespace oxbow::mirror

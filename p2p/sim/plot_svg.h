// A plot as inline SVG for the report's page: axes, ticks, legend; colours are classes of the page's style (s0 … s7),
// and each series has a marker of its own, so that it can be told apart without colour. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "p2p/sim/report.h"

namespace oxbow::p2p::sim {

/// `id` is unique in the page: the title and description are referred to by it.
std::string to_svg(const Plot& plot, const std::string& id);
/// &, <, > and quotes as entities.
std::string escaped(std::string_view text);

}  // namespace oxbow::p2p::sim

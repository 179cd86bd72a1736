#include "mirror/operator/trace_map.h"

#include <algorithm>
#include <array>
#include <optional>

namespace oxbow::mirror {
namespace {

struct Letter {
  char letter;
  std::string_view meaning;
  std::optional<Colour> colour;
};

/// The worst first.
constexpr std::array<Letter, 6> kLetters = {{{'x', "being replaced", Colour::kRed},
                                             {'.', "missing", Colour::kDim},
                                             {'~', "arriving", std::nullopt},
                                             {'u', "from upstream", Colour::kYellow},
                                             {'p', "from a peer", Colour::kGreen},
                                             {'d', "was on disk", Colour::kDim}}};

std::string painted(char letter, std::string_view text, const Terminal& terminal) {
  const auto known = std::ranges::find(kLetters, letter, &Letter::letter);
  if (known == kLetters.end() || !known->colour) return std::string(text);
  return painted(terminal, *known->colour, text);
}

}  // namespace

std::string narrowed_map(std::string_view map, std::size_t columns) {
  if (map.size() <= columns || columns == 0) return std::string(map);
  std::string out;
  for (std::size_t column = 0; column < columns; ++column) {
    const auto begin = column * map.size() / columns;
    const auto end = (column + 1) * map.size() / columns;
    const auto cells = map.substr(begin, end - begin);
    const auto worst = std::ranges::find_if(
        kLetters, [&](const Letter& one) { return cells.find(one.letter) != std::string_view::npos; });
    out += worst == kLetters.end() ? '?' : worst->letter;
  }
  return out;
}

std::string painted_map(std::string_view map, const Terminal& terminal) {
  std::string out;
  while (!map.empty()) {
    const auto run = map.substr(0, map.find_first_not_of(map.front()));
    out += painted(run.front(), run, terminal);
    map.remove_prefix(run.size());
  }
  return out;
}

std::string map_legend(std::string_view seen, const Terminal& terminal) {
  std::string out;
  for (auto one = kLetters.rbegin(); one != kLetters.rend(); ++one) {
    if (seen.find(one->letter) == std::string_view::npos) continue;
    if (!out.empty()) out += "   ";
    out += painted(one->letter, std::string_view(&one->letter, 1), terminal) + " ";
    out += one->meaning;
  }
  return out;
}

}  // namespace oxbow::mirror

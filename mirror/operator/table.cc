#include "mirror/operator/table.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/encoding.h"
#include "core/error.h"

namespace oxbow::mirror {
namespace {

constexpr std::string_view kGap = "  ";
constexpr std::size_t kLeastWidth = 8;  // what a column is not cut below

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80; }

/// The first `columns` code points, the last of them "…" where something was cut.
std::string cut(const std::string& text, std::size_t columns) {
  if (columns_of(text) <= columns) return text;
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if (!is_continuation(text[end]) && seen++ == columns - 1) break;
  }
  return text.substr(0, end) + "…";
}

}  // namespace

Terminal Terminal::of(std::FILE* out) {
  Terminal terminal;
  const int fd = ::fileno(out);
  if (fd < 0 || ::isatty(fd) == 0) return terminal;
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0) terminal.width = size.ws_col;
  const char* none = std::getenv("NO_COLOR");
  const char* kind = std::getenv("TERM");
  terminal.colours = (none == nullptr || *none == '\0') && kind != nullptr && std::string_view(kind) != "dumb";
  return terminal;
}

std::string painted(const Terminal& terminal, Colour colour, std::string_view text) {
  if (!terminal.colours) return std::string(text);
  constexpr std::array kCodes = {"32", "33", "31", "2"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes.at(static_cast<std::size_t>(colour)), text);
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !is_continuation(c); }));
}

void Table::row(std::vector<std::string> cells) {
  OXBOW_INVARIANT(cells.size() == columns_.size());
  for (auto& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> Table::widths(const Terminal& terminal) const {
  std::vector<std::size_t> widths;
  std::size_t total = kGap.size() * (columns_.size() - 1);
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_of(columns_[i].heading);
    for (const auto& cells : rows_) width = std::max(width, columns_of(cells[i]));
    widths.push_back(width);
    total += width;
  }
  if (terminal.width == 0) return widths;
  // The widest of those that may shrink gives a column at a time.
  while (total > terminal.width) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].may_shrink && widths[i] > kLeastWidth && (widest == nullptr || widths[i] > *widest))
        widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
    --total;
  }
  return widths;
}

std::string Table::text(const Terminal& terminal) const {
  const auto width = widths(terminal);
  const auto line = [&](const auto& cell_of) {
    std::string out;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const auto cell = cut(cell_of(i), width[i]);
      const std::string padding(width[i] - columns_of(cell), ' ');
      if (i > 0) out += kGap;
      out += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
    }
    return out.erase(out.find_last_not_of(' ') + 1) + "\n";
  };
  std::string out = line([&](std::size_t i) { return columns_[i].heading; });
  for (const auto& cells : rows_) out += line([&](std::size_t i) { return cells[i]; });
  return out;
}

std::string human_rate(double bytes_per_second) {
  return format_bytes(static_cast<std::uint64_t>(std::max(0.0, bytes_per_second))) + "/s";
}

std::string human_duration(std::chrono::milliseconds duration) {
  using namespace std::chrono;
  if (duration < seconds(1)) return fmt::format("{}ms", std::max<std::int64_t>(0, duration.count()));
  constexpr std::array<std::pair<std::int64_t, char>, 4> kUnits = {{{86'400, 'd'}, {3'600, 'h'}, {60, 'm'}, {1, 's'}}};
  auto rest = duration_cast<seconds>(duration).count();
  std::string out;
  for (std::size_t i = 0, shown = 0; i < kUnits.size() && shown < 2; ++i) {
    const auto [size, letter] = kUnits.at(i);
    const auto count = rest / size;
    rest %= size;
    if (shown == 0 && count == 0) continue;
    ++shown;
    if (count > 0) out += fmt::format("{}{}{}", out.empty() ? "" : " ", count, letter);
  }
  return out;
}

std::string human_share(double fraction) { return fmt::format("{:.1f} %", fraction * 100); }

std::string short_digest(std::string_view digest) {
  constexpr std::size_t kHexDigits = 12;
  const auto colon = digest.find(':');
  return std::string(digest.substr(0, colon == std::string_view::npos ? kHexDigits : colon + 1 + kHexDigits));
}

}  // namespace oxbow::mirror

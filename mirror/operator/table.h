// Plain tables and numbers for people, for the sub-commands of `oxbow`.
// Thread rule: plain values and pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace oxbow::mirror {

/// Where output goes: to a terminal in its width, with colours unless NO_COLOR is set; to a file or pipe without
/// either.
struct Terminal {
  std::size_t width = 0;  ///< columns; 0: no limit
  bool colours = false;

  static Terminal of(std::FILE* out);
};

enum class Colour : std::uint8_t { kGreen, kYellow, kRed, kDim };
/// `text` itself where there are no colours.
std::string painted(const Terminal& terminal, Colour colour, std::string_view text);

/// Columns as wide as their widest cell, two spaces between them. What came from elsewhere cannot move the cursor:
/// control bytes are shown as '?'.
class Table {
 public:
  enum class Align : std::uint8_t { kLeft, kRight };
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
    bool may_shrink = false;  ///< cut, with "…" at its end, where the terminal is too narrow
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns.
  void row(std::vector<std::string> cells);
  bool empty() const noexcept { return rows_.empty(); }
  /// Headings and rows, a line each, without spaces at the end of a line.
  std::string text(const Terminal& terminal) const;

 private:
  std::vector<std::size_t> widths(const Terminal& terminal) const;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// As it may be shown on a terminal: control bytes as '?'.
std::string printable(std::string_view text);
/// Columns of UTF-8 text, one a code point.
std::size_t columns_of(std::string_view text);

/// "1.2 GiB/s"
std::string human_rate(double bytes_per_second);
/// The two largest units: "3d 4h", "5m 12s", "850ms".
std::string human_duration(std::chrono::milliseconds duration);
/// "12.5 %" of a fraction of 1.
std::string human_share(double fraction);
/// "sha256:0123456789ab": as much of a digest as people compare.
std::string short_digest(std::string_view digest);

}  // namespace oxbow::mirror

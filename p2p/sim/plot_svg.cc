#include "p2p/sim/plot_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "p2p/sim/axis.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kWidth = 680;
constexpr double kLeft = 64, kRight = 16, kTop = 14, kBottom = 46;
constexpr double kPlotHeight = 280;
constexpr double kRow = 26;  // height of a row with a name
constexpr double kLegendLine = 20;
constexpr std::size_t kColours = 8;
constexpr double kCharacter = 7.2;  // the width of a letter of the legend, roughly

struct Frame {
  Axis x;
  Axis y;
  double left;
  double height;
  double rows;  // 0: y has an axis
  double at_x(double value) const { return left + x.place(value) * (kWidth - left - kRight); }
  double at_y(double value) const { return kTop + height * (rows > 0 ? (value + 0.5) / rows : 1 - y.place(value)); }
};

Frame frame_of(const Plot& plot) {
  std::vector<double> xs, ys;
  for (const auto& series : plot.series) {
    for (const auto& [x, y] : series.points) {
      if (!Axis::can_show(x, plot.log_x) || !Axis::can_show(y, plot.log_y)) continue;
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  if (plot.rows.empty()) return {Axis(xs, plot.log_x), Axis(ys, plot.log_y), kLeft, kPlotHeight, 0};
  std::size_t longest = 0;
  for (const auto& row : plot.rows) longest = std::max(longest, row.size());
  const auto left = std::min(16 + kCharacter * static_cast<double>(longest), kWidth / 2);
  const auto rows = static_cast<double>(plot.rows.size());
  return {Axis(xs, plot.log_x), Axis(ys, false), left, rows * kRow, rows};
}

void draw_axes(std::string& out, const Plot& plot, const Frame& frame) {
  const auto to = std::back_inserter(out);
  const double bottom = kTop + frame.height;
  for (const double tick : frame.x.ticks()) {
    const double x = frame.at_x(tick);
    fmt::format_to(to, R"(<line class="grid" x1="{0:.1f}" y1="{1:.1f}" x2="{0:.1f}" y2="{2:.1f}"/>)", x, kTop, bottom);
    fmt::format_to(to, R"(<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>)", x, bottom + 17,
                   tick_label(tick));
  }
  const auto across = [&](double value, const std::string& name) {
    const double y = frame.at_y(value);
    fmt::format_to(to, R"(<line class="grid" x1="{1:.1f}" y1="{0:.1f}" x2="{2:.1f}" y2="{0:.1f}"/>)", y, frame.left,
                   kWidth - kRight);
    fmt::format_to(to, R"(<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>)", frame.left - 8, y + 4,
                   escaped(name));
  };
  for (std::size_t row = 0; row < plot.rows.size(); ++row) across(static_cast<double>(row), plot.rows[row]);
  if (plot.rows.empty()) {
    for (const double tick : frame.y.ticks()) across(tick, tick_label(tick));
  }
  fmt::format_to(to, R"(<path class="axis" d="M{0:.1f} {1:.1f}V{2:.1f}H{3:.1f}"/>)", frame.left, kTop, bottom,
                 kWidth - kRight);
  fmt::format_to(to, R"(<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}{}</text>)",
                 (frame.left + kWidth - kRight) / 2, bottom + 38, escaped(plot.x_label), plot.log_x ? " (log)" : "");
  if (!plot.rows.empty()) return;
  fmt::format_to(
      to, R"svg(<text class="label" transform="translate(14 {:.1f}) rotate(-90)" text-anchor="middle">{}{}</text>)svg",
      kTop + kPlotHeight / 2, escaped(plot.y_label), plot.log_y ? " (log)" : "");
}

/// A shape of about 7 pixels, a different one for each of four neighbours.
std::string marker(double x, double y, std::size_t number) {
  switch (number % 4) {
    case 0:
      return fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3.5"/>)", x, y);
    case 1:
      return fmt::format(R"(<rect x="{:.1f}" y="{:.1f}" width="7" height="7"/>)", x - 3.5, y - 3.5);
    case 2:
      return fmt::format(R"(<path d="M{:.1f} {:.1f}l4.5 8h-9z"/>)", x, y - 5);
    default:
      return fmt::format(R"(<path d="M{:.1f} {:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z"/>)", x, y - 4.5);
  }
}

std::string line_path(std::size_t number, const std::string& path) {
  return fmt::format(R"(<path class="line{}" d="{}"/>)", number / kColours % 2 == 1 ? " dashed" : "", path);
}

void draw_series(std::string& out, const Plot& plot, const Frame& frame) {
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    std::string line, markers;
    // Many points are a curve: markers would hide it.
    const bool marked = !plot.rows.empty() || plot.series[i].points.size() <= 40;
    for (const auto& [x, y] : plot.series[i].points) {
      if (!Axis::can_show(x, plot.log_x) || !Axis::can_show(y, plot.log_y)) continue;
      line += fmt::format("{}{:.1f} {:.1f}", line.empty() ? "M" : "L", frame.at_x(x), frame.at_y(y));
      if (marked) markers += marker(frame.at_x(x), frame.at_y(y), i);
    }
    if (line.empty()) continue;
    // Between things with names there is nothing.
    if (!plot.rows.empty()) line.clear();
    out += fmt::format(R"(<g class="s{}">{}{}</g>)", i % kColours, line.empty() ? "" : line_path(i, line), markers);
  }
}

/// Below the plot, in as many lines as it needs. Returns the height of the whole picture.
double draw_legend(std::string& out, const Plot& plot, const Frame& frame) {
  double x = kLeft;
  double y = kTop + frame.height + kBottom + 12;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const double width = 34 + kCharacter * static_cast<double>(plot.series[i].name.size());
    if (x > kLeft && x + width > kWidth) {
      x = kLeft;
      y += kLegendLine;
    }
    const auto line = plot.rows.empty() ? line_path(i, fmt::format("M{:.1f} {:.1f}h18", x, y - 4)) : std::string();
    out += fmt::format(R"(<g class="s{}">{}{}</g>)", i % kColours, line, marker(x + 9, y - 4, i));
    out += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", x + 24, y, escaped(plot.series[i].name));
    x += width;
  }
  return y + 8;
}

/// What a reader who cannot see the lines hears: each series from its first to its last point.
std::string described(const Plot& plot) {
  if (!plot.rows.empty()) {
    std::string out = plot.x_label + ".";
    for (const auto& series : plot.series) {
      out += fmt::format(" {}:", series.name);
      for (const auto& [value, row] : series.points)
        out += fmt::format(" {} {},", plot.rows.at(static_cast<std::size_t>(row)), tick_label(value));
      out.back() = '.';
    }
    return out;
  }
  std::string out = plot.y_label + " by " + plot.x_label + ".";
  for (const auto& series : plot.series) {
    if (series.points.empty()) continue;
    const auto& [x0, y0] = series.points.front();
    const auto& [x1, y1] = series.points.back();
    out += fmt::format(" {}: {} at {}", series.name, tick_label(y0), tick_label(x0));
    if (series.points.size() > 1) out += fmt::format(" to {} at {}", tick_label(y1), tick_label(x1));
    out += '.';
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string to_svg(const Plot& plot, const std::string& id) {
  const auto frame = frame_of(plot);
  std::string inside;
  draw_axes(inside, plot, frame);
  draw_series(inside, plot, frame);
  const double height = draw_legend(inside, plot, frame);
  return fmt::format(
      "<svg role=\"img\" aria-labelledby=\"{0}-title {0}-desc\" viewBox=\"0 0 {1:.0f} {2:.0f}\">"
      "<title id=\"{0}-title\">{3}</title><desc id=\"{0}-desc\">{4}</desc>{5}</svg>\n",
      id, kWidth, height, escaped(plot.title), escaped(described(plot)), inside);
}

}  // namespace oxbow::p2p::sim

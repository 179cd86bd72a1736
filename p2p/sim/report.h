// What a simulation found: sections of one sentence each with their tables and plots, and the raw numbers as JSON.
// One form for all simulations, so that text, Markdown, JSON and the HTML page are each written in one place.
// Thread rule and lifetime: plain values.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace oxbow::p2p::sim {

/// Cells are text already: who knows the number knows its unit and its digits.
struct Table {
  std::string title;
  std::vector<std::string> columns;  ///< the first is the row's name
  std::vector<std::vector<std::string>> rows;
};

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct Plot {
  std::string title;
  std::string x_label;  ///< with the unit
  std::string y_label;
  bool log_x = false;
  bool log_y = false;
  std::vector<Series> series;
  /// Not empty: things with names instead of a y axis. A point is {what is measured, the row's number from the top}.
  std::vector<std::string> rows = {};
};

struct Section {
  std::string title;
  std::string says;  ///< the result in a sentence or two
  std::vector<Table> tables;
  std::vector<Plot> plots;
};

struct Report {
  std::string title;
  std::string command;  ///< that gives the same report again
  std::vector<Section> sections;
  std::string json = "{}";  ///< the raw numbers: one JSON object
};

std::string to_text(const Report& report);      ///< for a terminal
std::string to_markdown(const Report& report);  ///< tables only
/// Pretty-printed: {"title", "command", and what `json` holds}.
std::string to_json(const Report& report);
/// One page that needs nothing else: style and SVG are in it. Light and dark.
std::string to_html(const std::vector<Report>& reports);

}  // namespace oxbow::p2p::sim

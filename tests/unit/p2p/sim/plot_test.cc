// Axes and pictures of plots.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "p2p/sim/axis.h"
#include "p2p/sim/plot_svg.h"

namespace oxbow::p2p::sim {
namespace {

std::vector<std::string> labels(std::vector<double> values, bool log) {
  std::vector<std::string> out;
  for (const double tick : Axis(values, log).ticks()) out.push_back(tick_label(tick));
  return out;
}

using Labels = std::vector<std::string>;

TEST(SimAxis, LinearTicksAreNice) {
  EXPECT_EQ(labels({1, 9.7}, false), (Labels{"0", "2", "4", "6", "8", "10"}));
  EXPECT_EQ(labels({0.97, 0.98}, false), (Labels{"0.97", "0.972", "0.974", "0.976", "0.978", "0.98"}));
  EXPECT_EQ(labels({-3, 3}, false), (Labels{"-3", "-2", "-1", "0", "1", "2", "3"}));
  EXPECT_EQ(labels({1000, 100'000}, false), (Labels{"0", "20k", "40k", "60k", "80k", "100k"}));
}

TEST(SimAxis, LogarithmicTicks) {
  EXPECT_EQ(labels({1000, 100'000}, true), (Labels{"1k", "10k", "100k"}));
  EXPECT_EQ(labels({1024, 16384}, true), (Labels{"1k", "2k", "5k", "10k", "20k"}));
  EXPECT_EQ(labels({0.03, 0.04}, true), (Labels{"0.02", "0.05"}));
  EXPECT_EQ(labels({7, 7}, true), (Labels{"5", "10"}));
  EXPECT_EQ(labels({10, 10}, true), (Labels{"10", "20"}));
}

// Every value lies on the axis, at its place; what cannot be shown is left out.
TEST(SimAxis, Places) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const bool log : {false, true}) {
    for (const auto& values : std::vector<std::vector<double>>{
             {1, 2}, {3, 3}, {0.001, 123456}, {1e-9, 2e-9}, {nan, 5, -1}, {}, {0}, {-5, -5}, {1e12, 3e15}, {99, 101}}) {
      const Axis axis(values, log);
      EXPECT_GE(axis.ticks().size(), 2U);
      EXPECT_LE(axis.ticks().size(), 32U);
      EXPECT_NEAR(axis.place(axis.ticks().front()), 0, 1e-9);
      EXPECT_NEAR(axis.place(axis.ticks().back()), 1, 1e-9);
      for (const double value : values) {
        if (!Axis::can_show(value, log)) continue;
        EXPECT_GE(axis.place(value), -1e-9) << value;
        EXPECT_LE(axis.place(value), 1 + 1e-9) << value;
      }
    }
  }
  EXPECT_NEAR(Axis(std::vector<double>{1, 100}, true).place(10), 0.5, 1e-12);
}

TEST(SimAxis, Labels) {
  EXPECT_EQ(tick_label(0), "0");
  EXPECT_EQ(tick_label(1500), "1.5k");
  EXPECT_EQ(tick_label(2e6), "2M");
  EXPECT_EQ(tick_label(-20'000), "-20k");
  EXPECT_EQ(tick_label(3e9), "3G");
  EXPECT_EQ(tick_label(0.05), "0.05");
}

// Text from a simulation cannot become markup; points that have no place on the axis do not break the line.
TEST(SimPlot, Svg) {
  Plot plot{"a < b & c", "n", "y", true, true, {{"\"s\"", {{0, 1}, {10, 1}, {100, 10}}}, {"t", {}}}};
  const auto svg = to_svg(plot, "p7");
  EXPECT_NE(svg.find("<title id=\"p7-title\">a &lt; b &amp; c</title>"), std::string::npos) << svg;
  EXPECT_NE(svg.find("&quot;s&quot;"), std::string::npos);
  EXPECT_NE(svg.find("n (log)"), std::string::npos);
  EXPECT_NE(svg.find("d=\"M64.0 294.0L664.0 14.0\""), std::string::npos) << svg;
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

// Things with names have no y axis and no lines between them; a reader who sees nothing hears every value.
TEST(SimPlot, RowsWithNames) {
  Plot plot{.title = "t", .x_label = "times", .y_label = "", .log_x = true, .log_y = false, .series = {{"p99", {}}}};
  plot.rows = {"first", "<last>"};
  plot.series[0].points = {{1, 0}, {100, 1}};
  const auto svg = to_svg(plot, "p1");
  EXPECT_NE(svg.find("times. p99: first 1, &lt;last&gt; 100."), std::string::npos) << svg;
  EXPECT_NE(svg.find(">first</text>"), std::string::npos);
  EXPECT_EQ(svg.find("class=\"line\""), std::string::npos);
}

}  // namespace
}  // namespace oxbow::p2p::sim

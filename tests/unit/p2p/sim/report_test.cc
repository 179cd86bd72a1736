// One report in each of its forms.
#include "p2p/sim/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace oxbow::p2p::sim {
namespace {

Report small() {
  Report out;
  out.title = "Two ways";
  out.command = "oxbow sim two --nodes 8";
  Section section{"Which is shorter", "The <second> is, by half.", {}, {}};
  section.tables.push_back({"In hops", {"way", "ε"}, {{"first", "1.50"}, {"a|b", "10"}}});
  section.plots.push_back({"Hops", "nodes", "hops", true, false, {{"first", {{8, 1}, {80, 2}}}, {"none", {}}}});
  out.sections.push_back(section);
  out.json = R"({"z":1,"a":{"mean":0.5}})";
  return out;
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t out = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++out;
  return out;
}

// Columns are as wide as their widest cell, counted in characters; figures are to the right.
TEST(SimReport, TextIsAligned) {
  EXPECT_EQ(to_text(small()),
            "Two ways\n"
            "========\n"
            "oxbow sim two --nodes 8\n"
            "\n"
            "Which is shorter\n"
            "----------------\n"
            "The <second> is, by half.\n"
            "\n"
            "  In hops\n"
            "  way       ε\n"
            "  -----------\n"
            "  first  1.50\n"
            "  a|b      10\n");
}

TEST(SimReport, LongSentencesAreWrapped) {
  auto report = small();
  report.sections[0].says.clear();
  for (int i = 0; i < 60; ++i) report.sections[0].says += i == 0 ? "word" : " word";
  std::istringstream lines(to_text(report));
  std::size_t words = 0;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100U);
    words += count(line, "word");
  }
  EXPECT_EQ(words, 60U);
}

TEST(SimReport, Markdown) {
  EXPECT_EQ(to_markdown(small()),
            "## Two ways\n\n`oxbow sim two --nodes 8`\n\n### Which is shorter\n\nThe <second> is, by half.\n\n"
            "**In hops**\n\n| way | ε |\n|---|---:|\n| first | 1.50 |\n| a\\|b | 10 |\n");
}

// Title and command first, then what the simulation wrote, in its order.
TEST(SimReport, Json) {
  const auto json = nlohmann::ordered_json::parse(to_json(small()));
  std::vector<std::string> names;
  for (const auto& [name, value] : json.items()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"title", "command", "z", "a"}));
  EXPECT_EQ(json["a"]["mean"], 0.5);
}

// The page needs nothing from elsewhere, follows the reader's light or dark, and its plots can be heard.
TEST(SimReport, HtmlStandsAlone) {
  const auto page = to_html({small(), small()});
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  for (const auto* never : {"http:", "https:", "<script", "src=", "@import", "url(", "<second>", "nan", "inf"})
    EXPECT_EQ(page.find(never), std::string::npos) << never;
  EXPECT_NE(page.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(page.find("&lt;second&gt;"), std::string::npos);
  EXPECT_EQ(count(page, "<svg role=\"img\""), 2U);
  EXPECT_EQ(count(page, "<desc id=\"r0s0p0-desc\">hops by nodes. first: 1 at 8 to 2 at 80.</desc>"), 1U);
  EXPECT_EQ(count(page, "<title id=\"r1s0p0-title\">Hops</title>"), 1U);
  EXPECT_EQ(count(page, "<a href=\"#r"), 2U);
  for (const auto* tag : {"table", "tr", "td", "th", "svg", "g", "text", "figure", "div", "ul", "section"})
    EXPECT_EQ(count(page, std::string("<") + tag + ">") + count(page, std::string("<") + tag + " "),
              count(page, std::string("</") + tag + ">"))
        << tag;
}

}  // namespace
}  // namespace oxbow::p2p::sim

#include <fmt/format.h>

#include "p2p/sim/plot_svg.h"
#include "p2p/sim/report.h"

namespace oxbow::p2p::sim {
namespace {

/// Eight colours that are told apart by most eyes (after Okabe and Ito, 2008), brighter on dark.
constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#59636e;--rule:#d1d9e0;--stripe:#f6f8fa;
--c0:#0072b2;--c1:#d55e00;--c2:#007a5a;--c3:#b0478a;--c4:#8a6d00;--c5:#3b7fb5;--c6:#6b4fbb;--c7:#444}
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--ink:#e6edf3;--soft:#9aa4af;--rule:#3d444d;--stripe:#151b23;
--c0:#58a6ff;--c1:#ff9a57;--c2:#3fc79a;--c3:#f08cc8;--c4:#e3c341;--c5:#7cc4f0;--c6:#b39dff;--c7:#bbb}}
body{margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem;background:var(--page);color:var(--ink);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.6rem}h2{margin-top:3rem;border-bottom:1px solid var(--rule)}h3{margin-top:2rem}
code{font:.9em ui-monospace,monospace;background:var(--stripe);padding:.1em .3em}a{color:var(--c0)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;margin:1rem 0}
caption{text-align:left;font-weight:600;padding-bottom:.3rem}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child{text-align:left}tbody tr:nth-child(even){background:var(--stripe)}tbody th{font-weight:400}
figure{margin:1.5rem 0}figcaption{font-weight:600}svg{width:100%;height:auto;max-width:44rem}
svg text{fill:var(--soft);font-size:12px}svg .label{fill:var(--ink)}
.grid{stroke:var(--rule);stroke-width:.6}.axis{stroke:var(--soft);fill:none}
.line{fill:none;stroke:currentColor;stroke-width:2}.dashed{stroke-dasharray:6 4}svg g{color:var(--c0);fill:currentColor}
svg .s0{color:var(--c0)}svg .s1{color:var(--c1)}svg .s2{color:var(--c2)}svg .s3{color:var(--c3)}
svg .s4{color:var(--c4)}svg .s5{color:var(--c5)}svg .s6{color:var(--c6)}svg .s7{color:var(--c7)}
)";

std::string html_table(const Table& table) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!table.title.empty()) out += "<caption>" + escaped(table.title) + "</caption>";
  out += "<thead><tr>";
  for (const auto& column : table.columns) out += "<th scope=\"col\">" + escaped(column) + "</th>";
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      out += i == 0 ? "<th scope=\"row\">" + escaped(row[i]) + "</th>" : "<td>" + escaped(row[i]) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string html_section(const Section& section, const std::string& id) {
  std::string out = "<h3>" + escaped(section.title) + "</h3>\n";
  if (!section.says.empty()) out += "<p>" + escaped(section.says) + "</p>\n";
  for (const auto& table : section.tables) out += html_table(table);
  for (std::size_t i = 0; i < section.plots.size(); ++i) {
    const auto& plot = section.plots[i];
    out += "<figure><figcaption>" + escaped(plot.title) + "</figcaption>" + to_svg(plot, fmt::format("{}p{}", id, i)) +
           "</figure>\n";
  }
  return out;
}

std::string contents(const std::vector<Report>& reports) {
  if (reports.size() < 2) return {};
  std::string out = "<nav aria-label=\"Contents\"><ul>";
  for (std::size_t i = 0; i < reports.size(); ++i)
    out += fmt::format("<li><a href=\"#r{}\">{}</a></li>", i, escaped(reports[i].title));
  return out + "</ul></nav>\n";
}

}  // namespace

std::string to_html(const std::vector<Report>& reports) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>Oxbow: simulation report</title><style>";
  out += kStyle;
  out += "</style></head><body><h1>Oxbow: simulation report</h1>\n" + contents(reports) + "<main>\n";
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const auto& report = reports[i];
    out += fmt::format("<h2 id=\"r{}\">{}</h2>\n", i, escaped(report.title));
    if (!report.command.empty()) out += "<p><code>" + escaped(report.command) + "</code></p>\n";
    for (std::size_t k = 0; k < report.sections.size(); ++k)
      out += html_section(report.sections[k], fmt::format("r{}s{}", i, k));
  }
  return out + "</main></body></html>\n";
}

}  // namespace oxbow::p2p::sim

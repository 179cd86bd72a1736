// The report over crowds: one row a case, means over the seeds, and whether the targets are met.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "p2p/sim/band.h"
#include "p2p/sim/crowd_cases.h"
#include "p2p/sim/crowd_plots.h"

namespace oxbow::p2p::sim {
namespace {

struct Figure {
  std::string_view key;
  std::string_view title;
  double CrowdResult::* value;
  int digits;
};
constexpr Figure kFigures[] = {
    {"p50", "p50 / LB", &CrowdResult::p50, 3},
    {"p99", "p99 / LB", &CrowdResult::p99, 3},
    {"max", "max / LB", &CrowdResult::max, 3},
    {"p99_fast", "p99 without slow", &CrowdResult::p99_fast, 3},
    {"makespan", "all done / LB", &CrowdResult::makespan, 3},
    {"upstream", "upstream / F", &CrowdResult::upstream, 3},
    {"moved", "moved / needed", &CrowdResult::moved, 4},
    {"upload_max", "upload max / mean", &CrowdResult::upload_max, 2},
    {"cross_rack", "cross-rack", &CrowdResult::cross_rack, 3},
    {"cross_row", "cross-row", &CrowdResult::cross_row, 3},
    {"uplink_max", "rack uplink max / mean", &CrowdResult::uplink_max, 2},
};

Band band(const CrowdOutcome& outcome, double CrowdResult::* value) {
  std::vector<double> values;
  for (const auto& result : outcome.by_seed) values.push_back(result.*value);
  return band_of(values);
}

/// The targets at 10,000 nodes.
double p99_target(const CrowdOptions& options) {
  if (options.deaths_a_minute > 0) return 1.5;
  return options.slow > 0 ? 1.35 : 1.25;
}

std::string says_of(const CrowdOutcome& outcome) {
  const auto& options = outcome.asked.options;
  std::uint64_t wanted = 0;
  std::uint64_t completed = 0;
  for (const auto& result : outcome.by_seed) {
    wanted += result.wanted;
    completed += result.completed;
  }
  const auto p99 = band(outcome, options.slow_both ? &CrowdResult::p99_fast : &CrowdResult::p99).mean;
  const auto target = p99_target(options);
  auto text =
      fmt::format("{} ({}, {} nodes): p99 is {:.3f} times the bound of {:.2f} s, target at 10,000 nodes {:.2f}: {}.",
                  outcome.asked.title(), to_string(options.policy), options.network.nodes, p99,
                  outcome.by_seed.front().bound_seconds, target, p99 <= target ? "met" : "missed");
  if (completed < wanted) text += fmt::format(" {} of {} nodes did not complete in time.", wanted - completed, wanted);
  return text;
}

nlohmann::json json_of(const CrowdOutcome& outcome) {
  nlohmann::json json;
  const auto& options = outcome.asked.options;
  json["case"] = outcome.asked.title();
  json["strategy"] = to_string(options.policy);
  json["nodes"] = options.network.nodes;
  json["bound_seconds"] = outcome.by_seed.front().bound_seconds;
  for (const auto& figure : kFigures) {
    const auto values = band(outcome, figure.value);
    json[std::string(figure.key)] = {{"mean", values.mean}, {"p5", values.p5}, {"p95", values.p95}};
  }
  auto& seeds = json["seeds"] = nlohmann::json::array();
  for (const auto& result : outcome.by_seed) {
    auto& seed = seeds.emplace_back(nlohmann::json{{"wanted", result.wanted},
                                                   {"completed", result.completed},
                                                   {"died", result.died},
                                                   {"events", result.events},
                                                   {"busy", result.busy},
                                                   {"hedges", result.hedges},
                                                   {"announces", result.announces},
                                                   {"news", result.news}});
    for (const auto& figure : kFigures) seed[std::string(figure.key)] = result.*figure.value;
  }
  return json;
}

}  // namespace

Report crowd_report(std::span<const CrowdOutcome> outcomes, std::string command) {
  Report report;
  report.title = "A crowd pulls a blob";
  report.command = std::move(command);
  Section section;
  section.title = "Completion over the bound, and who carried it";
  Table table;
  table.title =
      "LB = max(F/u, F/upstream) + F/(S u) (ceil(log2(N+1)) - 1); bandwidth: equal shares with redistribution";
  table.columns = {"case", "strategy", "nodes"};
  for (const auto& figure : kFigures) table.columns.emplace_back(figure.title);
  auto json = nlohmann::json::object();
  json["crowds"] = nlohmann::json::array();
  for (const auto& outcome : outcomes) {
    if (outcome.by_seed.empty()) continue;
    auto& row = table.rows.emplace_back();
    row = {outcome.asked.title(), std::string(to_string(outcome.asked.options.policy)),
           fmt::format("{}", outcome.asked.options.network.nodes)};
    for (const auto& figure : kFigures)
      row.push_back(fmt::format("{:.{}f}", band(outcome, figure.value).mean, figure.digits));
    section.says += (section.says.empty() ? "" : " ") + says_of(outcome);
    json["crowds"].push_back(json_of(outcome));
  }
  section.tables.push_back(std::move(table));
  section.plots = crowd_plots(outcomes);
  report.sections.push_back(std::move(section));
  report.json = json.dump();
  return report;
}

}  // namespace oxbow::p2p::sim

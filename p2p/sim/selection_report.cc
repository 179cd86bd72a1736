#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "p2p/sim/selection.h"

namespace oxbow::p2p::sim {
namespace {

const char* label(SelectionPolicy policy) {
  switch (policy) {
    case SelectionPolicy::kRandom:
      return "random";
    case SelectionPolicy::kTwoChoices:
      return "two choices, load of the refresh";
    case SelectionPolicy::kLatency:
      return "EWMA latency, lowest";
    case SelectionPolicy::kDaemon:
      return "EWMA latency + load (daemon)";
  }
  return "";
}

const SelectionFigures& at(const SelectionResult& result, std::uint32_t nodes, double refresh, SelectionPolicy policy) {
  const auto found = std::ranges::find_if(result.refreshes, [&](const auto& cell) {
    return cell.nodes == nodes && cell.refresh_s == refresh && cell.policy == policy;
  });
  OXBOW_INVARIANT(found != result.refreshes.end());
  return found->figures;
}

std::string percent(const Band& band) { return fmt::format("{:.2f} %", 100 * band.mean); }

std::vector<std::string> row(std::string name, const SelectionFigures& one) {
  return {std::move(name),
          fmt::format("{:.0f}", one.p50_ms.mean),
          to_string(one.p99_ms, 0),
          fmt::format("{:.0f}", one.p999_ms.mean),
          fmt::format("{:.2f}", one.skew_max.mean),
          fmt::format("{:.2f}", one.skew_p99.mean),
          percent(one.dead),
          percent(one.stale),
          fmt::format("{:.3f}", one.busy.mean)};
}

const std::vector<std::string> kColumns{"p50 ms",   "p99 ms", "p99.9 ms", "load max/mean",
                                        "p99/mean", "dead",   "stale",    "turned away"};

std::vector<std::string> columns(const char* first, std::vector<std::string> more = {}) {
  std::vector<std::string> out{first};
  out.insert(out.end(), kColumns.begin(), kColumns.end());
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Section refreshes(const SelectionOptions& options, const SelectionResult& result) {
  Section section;
  section.title = "How old the table may be";
  const auto nodes = std::ranges::max(options.nodes);
  const double newest = std::ranges::min(options.refresh_s);
  const double oldest = std::ranges::max(options.refresh_s);
  const auto p99 = [&](double refresh, SelectionPolicy policy) {
    return at(result, nodes, refresh, policy).p99_ms.mean;
  };
  section.says =
      newest == oldest
          ? fmt::format(
                "With a refresh every {:g} s the p99 of a stripe is {:.0f} ms by random choice, {:.0f} by two "
                "choices, {:.0f} by the lowest latency, and {:.0f} by the daemon's rule",
                newest, p99(newest, SelectionPolicy::kRandom), p99(newest, SelectionPolicy::kTwoChoices),
                p99(newest, SelectionPolicy::kLatency), p99(newest, SelectionPolicy::kDaemon))
          : fmt::format(
                "From a refresh every {:g} s to one every {:g} s the p99 of a stripe goes from {:.0f} to {:.0f} ms by "
                "random choice, {:.0f} to {:.0f} by two choices, {:.0f} to {:.0f} by the lowest latency, and {:.0f} to "
                "{:.0f} by the daemon's rule",
                newest, oldest, p99(newest, SelectionPolicy::kRandom), p99(oldest, SelectionPolicy::kRandom),
                p99(newest, SelectionPolicy::kTwoChoices), p99(oldest, SelectionPolicy::kTwoChoices),
                p99(newest, SelectionPolicy::kLatency), p99(oldest, SelectionPolicy::kLatency),
                p99(newest, SelectionPolicy::kDaemon), p99(oldest, SelectionPolicy::kDaemon));
  section.says += fmt::format(
      ", which hears each candidate's load with every answer; {:g} ms is a stripe alone on a link.", options.stripe_ms);
  for (const auto size : options.nodes) {
    Table table;
    table.title = fmt::format("{} nodes", size);
    table.columns = columns("policy, refresh");
    for (const auto policy : kSelectionPolicies) {
      for (const auto refresh : options.refresh_s)
        table.rows.push_back(row(fmt::format("{}, {:g} s", label(policy), refresh), at(result, size, refresh, policy)));
    }
    section.tables.push_back(std::move(table));
  }
  const auto plot = [&](const char* title, const char* y, bool log_y, Band SelectionFigures::* field) {
    Plot out{title, "refresh interval, s", y, true, log_y, {}};
    for (const auto policy : kSelectionPolicies) {
      Series series{label(policy), {}};
      for (const auto refresh : options.refresh_s)
        series.points.emplace_back(refresh, (at(result, nodes, refresh, policy).*field).mean);
      out.series.push_back(std::move(series));
    }
    section.plots.push_back(std::move(out));
  };
  plot("p99 of a stripe", "ms", true, &SelectionFigures::p99_ms);
  plot("Load of fast peers", "maximum over mean", false, &SelectionFigures::skew_max);
  plot("Picks of dead peers", "share", false, &SelectionFigures::dead);
  return section;
}

Section probation(const SelectionOptions& options, const SelectionResult& result) {
  Section section;
  section.title = "Probation";
  const auto of = [&](SelectionPolicy policy, double share) -> const SelectionFigures& {
    const auto found = std::ranges::find_if(result.probation, [&](const auto& cell) {
      return cell.nodes == options.nodes.front() && cell.policy == policy && cell.probation_share == share;
    });
    OXBOW_INVARIANT(found != result.probation.end());
    return found->figures;
  };
  const auto& with = of(SelectionPolicy::kDaemon, options.probation_share);
  const auto& without = of(SelectionPolicy::kDaemon, 1);
  section.says = fmt::format(
      "Where {:g} % of the peers are replaced every minute and {:g} % of the new ones are slow, the probation rule "
      "gives "
      "the daemon's rule a p99 of {:.0f} ms, and {:.0f} ms without it; peers on probation are {:.1f} % of the "
      "candidates "
      "and get {:.1f} % of the picks ({:.1f} % without the rule).",
      100 * options.probation_leaves, 100 * options.probation_slow, with.p99_ms.mean, without.p99_ms.mean,
      100 * with.fair.mean, 100 * with.unvetted.mean, 100 * without.unvetted.mean);
  for (const auto nodes : options.nodes) {
    Table table;
    table.title = fmt::format("{} nodes, table refreshed every {:g} s", nodes, options.probation_refresh_s);
    table.columns = columns("policy", {"picks on probation", "candidates on probation"});
    for (const auto& cell : result.probation) {
      if (cell.nodes != nodes) continue;
      auto cells =
          row(fmt::format("{}{}", label(cell.policy), cell.probation_share < 1 ? "" : ", no probation"), cell.figures);
      cells.push_back(percent(cell.figures.unvetted));
      cells.push_back(percent(cell.figures.fair));
      table.rows.push_back(std::move(cells));
    }
    section.tables.push_back(std::move(table));
  }
  return section;
}

nlohmann::json json_of(const Band& band) { return {{"mean", band.mean}, {"p5", band.p5}, {"p95", band.p95}}; }

nlohmann::json json_of(const std::vector<SelectionCell>& cells) {
  auto list = nlohmann::json::array();
  for (const auto& cell : cells) {
    const auto& one = cell.figures;
    list.push_back({{"nodes", cell.nodes},
                    {"policy", to_string(cell.policy)},
                    {"refresh_s", cell.refresh_s},
                    {"probation_share", cell.probation_share},
                    {"mean_ms", json_of(one.mean_ms)},
                    {"p50_ms", json_of(one.p50_ms)},
                    {"p99_ms", json_of(one.p99_ms)},
                    {"p999_ms", json_of(one.p999_ms)},
                    {"skew_max", json_of(one.skew_max)},
                    {"skew_p99", json_of(one.skew_p99)},
                    {"dead_share", json_of(one.dead)},
                    {"stale_share", json_of(one.stale)},
                    {"turned_away", json_of(one.busy)},
                    {"probation_picks", json_of(one.unvetted)},
                    {"probation_candidates", json_of(one.fair)}});
  }
  return list;
}

}  // namespace

Report selection_report(const SelectionOptions& options, const SelectionResult& result) {
  Report report;
  report.title = "Selecting a peer";
  report.sections = {refreshes(options, result), probation(options, result)};
  report.json =
      nlohmann::json{{"refreshes", json_of(result.refreshes)}, {"probation", json_of(result.probation)}}.dump();
  return report;
}

}  // namespace oxbow::p2p::sim

// What `oxbow sim churn` tells.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "p2p/sim/band.h"
#include "p2p/sim/churn_study.h"

namespace oxbow::p2p::sim {
namespace {

using Count = std::uint64_t ChurnResult::*;
using Measure = std::function<double(const ChurnResult&)>;

Band band(const ChurnArm& arm, const Measure& measure) {
  std::vector<double> values;
  for (const auto& result : arm.results) values.push_back(measure(result));
  return band_of(values);
}

/// One value as it is, more as a band.
std::string text(const ChurnArm& arm, const Measure& measure, int digits) {
  const auto of = band(arm, measure);
  return arm.results.size() == 1 ? fmt::format("{:.{}f}", of.mean, digits) : to_string(of, digits);
}

Measure percent(Count part) {
  return [part](const ChurnResult& result) { return 100 * result.share(result.*part); };
}
Measure each(Count count) {
  return [count](const ChurnResult& result) { return result.share(result.*count); };
}
double delay_mean(const ChurnResult& result) {
  return result.pulls == 0 ? 0 : result.delay_ms / static_cast<double>(result.pulls);
}
/// Of the pulls that asked a dead peer, what each lost, against a pull that asked none: two hops.
double lost_each(const ChurnResult& result, std::uint32_t hop_ms) {
  if (result.hit_dead == 0) return 0;
  const auto usual = static_cast<double>(result.pulls) * 2 * hop_ms;
  return std::max(0.0, result.delay_ms - usual) / static_cast<double>(result.hit_dead);
}

std::string age_text(std::uint32_t stale_ms) {
  return stale_ms == 0       ? "fresh"
         : stale_ms < 60'000 ? fmt::format("{} s old", stale_ms / 1'000)
                             : fmt::format("{:.3g} min old", stale_ms / 60'000.0);
}

std::string scenario_text(const ChurnOptions& options) {
  switch (options.scenario) {
    case ChurnScenario::kSteady:
      return fmt::format("{:.3g} %/min", 100 * options.rate);
    case ChurnScenario::kRack:
      return "a rack at once";
    case ChurnScenario::kRolling:
      return fmt::format("rolling, {:.3g} % at a time", 100 * options.batch);
  }
  return "unknown";
}

Section size_section(std::uint32_t nodes, ChurnStrategy strategy, const std::vector<const ChurnArm*>& arms) {
  Section out;
  out.title = fmt::format("{} nodes, {}", nodes, to_string(strategy));
  const bool fingers = strategy == ChurnStrategy::kFingers;
  Table table{"In percent of the pulls, where nothing else is said",
              {"what; views; breakers", "asked a dead peer", fingers ? "dead finger or owner" : "dead coordinator",
               "hops", "extra hops", "ms to first byte, mean / p99", "from peers", "upstream though held",
               "no byte in 3 s", "failed", "a source died"},
              {}};
  const ChurnArm* worst = nullptr;
  const ChurnArm* usual = nullptr;
  for (const auto* arm : arms) {
    const auto& options = arm->options;
    table.rows.push_back(
        {fmt::format("{}; {}; {}", scenario_text(options), age_text(options.stale_ms), options.breakers ? "on" : "off"),
         text(*arm, percent(&ChurnResult::hit_dead), 2), text(*arm, percent(&ChurnResult::dead_first), 2),
         text(*arm, each(&ChurnResult::hops), 3), text(*arm, each(&ChurnResult::extra_hops), 3),
         fmt::format("{:.1f} / {:.0f}", band(*arm, delay_mean).mean,
                     band(*arm, [](const ChurnResult& result) { return result.delay_p99_ms; }).mean),
         text(*arm, percent(&ChurnResult::from_peers), 2), text(*arm, percent(&ChurnResult::upstream_needless), 2),
         text(*arm, percent(&ChurnResult::late), 2), text(*arm, percent(&ChurnResult::failed), 2),
         text(*arm, percent(&ChurnResult::source_died), 2)});
    if (!options.breakers || options.scenario != ChurnScenario::kSteady) continue;
    if (worst == nullptr ||
        band(*arm, percent(&ChurnResult::hit_dead)).mean > band(*worst, percent(&ChurnResult::hit_dead)).mean)
      worst = arm;
    if (usual == nullptr || std::abs(options.rate - 0.01) < std::abs(usual->options.rate - 0.01) ||
        (options.rate == usual->options.rate && options.stale_ms <= 30'000))
      usual = arm;
  }
  for (const auto* arm : {usual, worst == usual ? nullptr : worst}) {
    if (arm == nullptr) continue;
    const auto hop_ms = arm->options.hop_ms;
    out.says += fmt::format(
        "{}With {} and views {}, {:.1f} % of the pulls ask a dead {}, which costs each of them {:.0f} ms; {:.1f} % "
        "come from peers.",
        out.says.empty() ? "" : " ", scenario_text(arm->options), age_text(arm->options.stale_ms),
        band(*arm, percent(fingers ? &ChurnResult::dead_first : &ChurnResult::hit_dead)).mean,
        fingers ? "finger or owner" : "peer",
        band(*arm, [hop_ms](const ChurnResult& result) { return lost_each(result, hop_ms); }).mean,
        band(*arm, percent(&ChurnResult::from_peers)).mean);
  }
  out.tables.push_back(std::move(table));
  return out;
}

bool same_but_rule(ChurnOptions a, const ChurnOptions& b) {
  return a.nodes == b.nodes && a.strategy == b.strategy && a.scenario == b.scenario && a.rate == b.rate &&
         a.stale_ms == b.stale_ms && a.breakers == b.breakers && a.reannounce != b.reannounce;
}

double announcements_each(const ChurnArm& arm) {
  const double minutes = arm.options.measured_ms / 60'000.0;
  const auto all = band(arm, [](const ChurnResult& one) { return static_cast<double>(one.announcements); }).mean;
  return all / arm.options.nodes / minutes;
}

/// Where the two rules differ most.
std::string worst_sentence(const ChurnArm& settled, const ChurnArm& moved) {
  const auto lost = [](const ChurnArm& one) { return band(one, percent(&ChurnResult::upstream_needless)).mean; };
  return fmt::format(
      "With {} nodes and {}, {:.2f} % of the pulls go upstream although a living node has the blob when holders tell "
      "all "
      "once their view has stood for two seconds ({:.1f} announcements a node a minute), and {:.2f} % when they tell "
      "what "
      "has moved ({:.1f}).",
      settled.options.nodes, scenario_text(settled.options), lost(settled), announcements_each(settled), lost(moved),
      announcements_each(moved));
}

Section rule_section(const std::vector<ChurnArm>& arms) {
  Section out;
  std::pair<const ChurnArm*, const ChurnArm*> worst = {nullptr, nullptr};
  out.title = "When holders tell coordinators again";
  Table table{"Swarm, breakers on; announcements of one blob to one coordinator",
              {"nodes; what; rule", "from peers %", "upstream though held %", "announcements a node a minute"},
              {}};
  for (const auto& arm : arms) {
    const auto other =
        std::ranges::find_if(arms, [&](const ChurnArm& one) { return same_but_rule(one.options, arm.options); });
    if (other == arms.end()) continue;
    const bool settled = arm.options.reannounce == ReannounceRule::kSettled;
    const auto lost = [](const ChurnArm& one) { return band(one, percent(&ChurnResult::upstream_needless)).mean; };
    if (settled && (worst.first == nullptr || lost(arm) - lost(*other) > lost(*worst.first) - lost(*worst.second)))
      worst = {&arm, &*other};
    table.rows.push_back({fmt::format("{}; {}; {}", arm.options.nodes, scenario_text(arm.options),
                                      settled ? "all, when settled" : "what moved"),
                          text(arm, percent(&ChurnResult::from_peers), 2),
                          text(arm, percent(&ChurnResult::upstream_needless), 2),
                          text(
                              arm,
                              [&](const ChurnResult& result) {
                                return static_cast<double>(result.announcements) / arm.options.nodes /
                                       (arm.options.measured_ms / 60'000.0);
                              },
                              1)});
  }
  if (worst.first != nullptr) out.says = worst_sentence(*worst.first, *worst.second);
  out.tables.push_back(std::move(table));
  return out;
}

nlohmann::json to_json(const ChurnArm& arm) {
  const auto& options = arm.options;
  nlohmann::json out = {{"nodes", options.nodes},
                        {"strategy", std::string(to_string(options.strategy))},
                        {"scenario", std::string(to_string(options.scenario))},
                        {"rate_per_min", options.rate},
                        {"stale_ms", options.stale_ms},
                        {"breakers", options.breakers},
                        {"reannounce", std::string(to_string(options.reannounce))}};
  for (const auto& one : arm.results) {
    out["seeds"].push_back({{"pulls", one.pulls},
                            {"hit_dead", one.hit_dead},
                            {"dead_asked", one.dead_asked},
                            {"dead_first", one.dead_first},
                            {"hops", one.hops},
                            {"extra_hops", one.extra_hops},
                            {"delay_mean_ms", delay_mean(one)},
                            {"delay_p50_ms", one.delay_p50_ms},
                            {"delay_p99_ms", one.delay_p99_ms},
                            {"from_peers", one.from_peers},
                            {"upstream", one.upstream},
                            {"upstream_needless", one.upstream_needless},
                            {"late", one.late},
                            {"failed", one.failed},
                            {"source_died", one.source_died},
                            {"announcements", one.announcements},
                            {"died", one.died},
                            {"came", one.came}});
  }
  return out;
}

}  // namespace

Report churn_report(const ChurnStudy& study, const std::vector<ChurnArm>& arms) {
  Report out;
  out.title = "Churn: what joins and leaves cost";
  for (const auto nodes : study.nodes) {
    for (const auto strategy : study.strategies) {
      std::vector<const ChurnArm*> of_size;
      for (const auto& arm : arms) {
        const bool wanted = arm.options.nodes == nodes && arm.options.strategy == strategy;
        if (wanted && arm.options.reannounce == study.base.reannounce) of_size.push_back(&arm);
      }
      if (!of_size.empty()) out.sections.push_back(size_section(nodes, strategy, of_size));
    }
  }
  if (auto rules = rule_section(arms); !rules.tables.front().rows.empty()) out.sections.push_back(std::move(rules));
  nlohmann::json all = nlohmann::json::array();
  for (const auto& arm : arms) all.push_back(to_json(arm));
  out.json = nlohmann::json{{"arms", all}}.dump();
  return out;
}

}  // namespace oxbow::p2p::sim

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "p2p/sim/lookup.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kChangeBytes = 100;  ///< of a membership change: name, address, location

using Cells = std::vector<LookupCell>;

const LookupFigures& at(const Cells& cells, std::uint32_t nodes, double leaves, LookupKind kind) {
  const auto found = std::ranges::find_if(
      cells, [&](const auto& cell) { return cell.nodes == nodes && cell.leaves == leaves && cell.kind == kind; });
  OXBOW_INVARIANT(found != cells.end());
  return found->figures;
}

std::string percent(double share) { return fmt::format("{:.3f} %", 100 * share); }
std::string rate(double leaves) { return fmt::format("{:g} %/min", 100 * leaves); }

std::string label(LookupKind kind, const LookupOptions& options) {
  switch (kind) {
    case LookupKind::kRing:
      return "ring, full membership";
    case LookupKind::kFingers:
      return "fingers, nothing cached";
    case LookupKind::kChord:
      return "Chord";
    case LookupKind::kKademliaValue:
      return fmt::format("Kademlia, any of {} holders", options.kademlia_k);
    case LookupKind::kKademliaNode:
      return "Kademlia, the one owner";
  }
  return {};
}

Section calm(const LookupOptions& options, const Cells& cells) {
  Section section;
  section.title = "Hops, messages and state";
  const double leaves = std::ranges::min(options.leaves);
  const auto nodes = std::ranges::max(options.nodes);
  const auto of = [&](LookupKind kind) -> const LookupFigures& { return at(cells, nodes, leaves, kind); };
  section.says = fmt::format(
      "At {} nodes full membership answers in {:.2f} hops and {:.1f} requests, fingers in {:.2f} hops, Chord in {:.2f} "
      "hops, Kademlia in {:.2f} rounds with {:.1f} requests to any holder and in {:.2f} rounds with {:.1f} requests to "
      "the one owner that all agree about. Fingers save no state: they are computed from the full membership.",
      nodes, of(LookupKind::kRing).hops.mean, of(LookupKind::kRing).messages.mean, of(LookupKind::kFingers).hops.mean,
      of(LookupKind::kChord).hops.mean, of(LookupKind::kKademliaValue).hops.mean,
      of(LookupKind::kKademliaValue).messages.mean, of(LookupKind::kKademliaNode).hops.mean,
      of(LookupKind::kKademliaNode).messages.mean);
  for (const auto size : options.nodes) {
    Table table;
    table.title = fmt::format("{} nodes, churn {}", size, rate(leaves));
    table.columns = {"way", "hops mean", "p99", "max", "requests", "ms mean", "entries a node", "upkeep msgs/min"};
    for (const auto kind : kLookupKinds) {
      const auto& one = at(cells, size, leaves, kind);
      table.rows.push_back({label(kind, options), to_string(one.hops, 2), fmt::format("{:.1f}", one.hops_p99.mean),
                            fmt::format("{:.1f}", one.hops_max.mean), fmt::format("{:.2f}", one.messages.mean),
                            fmt::format("{:.2f}", one.ms.mean), fmt::format("{:.0f}", one.state.mean),
                            fmt::format("{:.0f}", one.upkeep.mean)});
    }
    section.tables.push_back(std::move(table));
  }
  const auto plot = [&](const char* title, const char* y, bool log_y, Band LookupFigures::* field) {
    Plot out{title, "nodes", y, true, log_y, {}};
    for (const auto kind : kLookupKinds) {
      Series series{label(kind, options), {}};
      for (const auto size : options.nodes)
        series.points.emplace_back(size, (at(cells, size, leaves, kind).*field).mean);
      out.series.push_back(std::move(series));
    }
    section.plots.push_back(std::move(out));
  };
  plot("Hops of a look-up", "hops", false, &LookupFigures::hops);
  plot("Requests of a look-up", "requests", false, &LookupFigures::messages);
  plot("State", "entries a node", true, &LookupFigures::state);
  return section;
}

Section churn(const LookupOptions& options, const Cells& cells) {
  Section section;
  section.title = "With churn";
  const double calmest = std::ranges::min(options.leaves);
  const double worst = std::ranges::max(options.leaves);
  const auto nodes = std::ranges::max(options.nodes);
  const auto of = [&](LookupKind kind) -> const LookupFigures& { return at(cells, nodes, worst, kind); };
  section.says = fmt::format(
      "With {} of {} nodes leaving and as many joining, a look-up meets {:.3f} dead nodes on the ring (view at most {} "
      "s "
      "old), {:.3f} along fingers, {:.2f} in Chord and {:.2f} in Kademlia (any holder); {} of the ring's look-ups "
      "fail, "
      "and {} end at an owner other than the newest view's, which costs at most a second copy from upstream "
      "and is no error.",
      rate(worst), nodes, of(LookupKind::kRing).dead.mean, options.view_ms / 1000, of(LookupKind::kFingers).dead.mean,
      of(LookupKind::kChord).dead.mean, of(LookupKind::kKademliaValue).dead.mean,
      percent(of(LookupKind::kRing).failed.mean), percent(of(LookupKind::kRing).other.mean));
  for (const auto size : options.nodes) {
    Table table;
    table.title = fmt::format("{} nodes", size);
    table.columns = {"way and churn", "dead met", "extra hops", "failed",         "another owner",
                     "ms mean",       "ms p99",   "requests",   "upkeep msgs/min"};
    for (const auto kind : kLookupKinds) {
      const double hops = at(cells, size, calmest, kind).hops.mean;
      for (const auto leaves : options.leaves) {
        if (leaves == 0) continue;
        const auto& one = at(cells, size, leaves, kind);
        table.rows.push_back({label(kind, options) + ", " + rate(leaves), fmt::format("{:.4f}", one.dead.mean),
                              fmt::format("{:+.2f}", one.hops.mean - hops), percent(one.failed.mean),
                              kind == LookupKind::kKademliaValue ? "-" : percent(one.other.mean),
                              fmt::format("{:.2f}", one.ms.mean), fmt::format("{:.1f}", one.ms_p99.mean),
                              fmt::format("{:.2f}", one.messages.mean), fmt::format("{:.0f}", one.upkeep.mean)});
      }
    }
    section.tables.push_back(std::move(table));
  }
  Plot plot{fmt::format("Dead nodes met at {} nodes", nodes),
            "leaving and joining, % a minute",
            "dead nodes a look-up",
            true,
            true,
            {}};
  for (const auto kind : kLookupKinds) {
    Series series{label(kind, options), {}};
    for (const auto leaves : options.leaves) {
      const double dead = at(cells, nodes, leaves, kind).dead.mean;
      if (leaves > 0 && dead > 0) series.points.emplace_back(100 * leaves, dead);
    }
    plot.series.push_back(std::move(series));
  }
  section.plots.push_back(std::move(plot));
  return section;
}

/// Arithmetic: no run is needed for it.
Section price(const LookupOptions& options) {
  Section section;
  section.title = "What full membership costs";
  section.says = fmt::format(
      "Everybody is told of every change ({:.0f} bytes each; arithmetic, not simulated): little where nodes live for "
      "days, and what ends full membership first where a tenth of 100,000 leaves every minute.",
      kChangeBytes);
  Table table;
  table.title = "Membership news";
  table.columns = {"nodes and churn", "changes/min", "kB/s a node", "MB/s that the provider sends", "view, MB"};
  for (const auto size : options.nodes) {
    for (const auto leaves : options.leaves) {
      if (leaves == 0) continue;
      const double changes = 2 * leaves * size;
      const double bytes = changes * kChangeBytes / 60;
      table.rows.push_back({fmt::format("{}, {}", size, rate(leaves)), fmt::format("{:.1f}", changes),
                            fmt::format("{:.3f}", bytes / 1e3), fmt::format("{:.3f}", bytes * size / 1e6),
                            fmt::format("{:.1f}", size * kChangeBytes / 1e6)});
    }
  }
  section.tables.push_back(std::move(table));
  return section;
}

nlohmann::json json_of(const Band& band) { return {{"mean", band.mean}, {"p5", band.p5}, {"p95", band.p95}}; }

std::string json_of(const Cells& cells) {
  auto list = nlohmann::json::array();
  for (const auto& cell : cells) {
    const auto& one = cell.figures;
    list.push_back({{"nodes", cell.nodes},
                    {"leaves_per_minute", cell.leaves},
                    {"kind", to_string(cell.kind)},
                    {"hops", json_of(one.hops)},
                    {"hops_p99", json_of(one.hops_p99)},
                    {"hops_max", json_of(one.hops_max)},
                    {"requests", json_of(one.messages)},
                    {"dead", json_of(one.dead)},
                    {"failed_share", json_of(one.failed)},
                    {"other_owner_share", json_of(one.other)},
                    {"ms", json_of(one.ms)},
                    {"ms_p99", json_of(one.ms_p99)},
                    {"entries", json_of(one.state)},
                    {"upkeep_per_minute", json_of(one.upkeep)}});
  }
  return nlohmann::json{{"lookup", std::move(list)}}.dump();
}

}  // namespace

Report lookup_report(const LookupOptions& options, const Cells& cells) {
  Report report;
  report.title = "Looking up an owner";
  report.sections = {calm(options, cells), churn(options, cells), price(options)};
  report.json = json_of(cells);
  return report;
}

}  // namespace oxbow::p2p::sim

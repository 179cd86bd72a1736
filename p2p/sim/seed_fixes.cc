// What each of the seed's flaws is worth: the same runs with one put right, and with all of them.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "p2p/sim/seed.h"

namespace oxbow::p2p::sim {
namespace {

using nlohmann::ordered_json;

/// The least that the seed gives a node: its rule is max(8, 2·b²), and the second term holds every key.
constexpr std::uint32_t kEvictingCapacity = 8;

std::uint32_t evicting_capacity(const SeedOptions& options) {
  return options.capacity != 0 ? options.capacity : kEvictingCapacity;
}

std::vector<std::pair<std::string, SeedOptions>> variants_of(const SeedOptions& options) {
  auto published = options;
  published.inverse_b = false;
  published.pinned = true;
  published.capacity = 0;
  std::vector<std::pair<std::string, SeedOptions>> out(5, {"as published", published});
  out[1].first = "ε = 1/b";
  out[2].first = "nothing pinned";
  out[3].first = fmt::format("LRU of {}", evicting_capacity(options));
  out[4].first = "all three";
  for (const std::size_t i : {1U, 4U}) out[i].second.inverse_b = true;
  for (const std::size_t i : {2U, 4U}) out[i].second.pinned = false;
  for (const std::size_t i : {3U, 4U}) out[i].second.capacity = evicting_capacity(options);
  return out;
}

constexpr struct {
  SeedMetric metric;
  const char* title;
  int digits;
} kColumns[] = {
    {SeedMetric::kClientHops, "client hops", 3},          {SeedMetric::kSystemHops, "system hops", 3},
    {SeedMetric::kCongestionFactor, "weight", 2},         {SeedMetric::kCrossRackShare, "cross-rack", 3},
    {SeedMetric::kCopiesPerStripe, "copies", 1},          {SeedMetric::kCopiesHot, "hot copies", 1},
    {SeedMetric::kServeSkewP99, "skew p99", 2},           {SeedMetric::kServeSkewMax, "skew max", 2},
    {SeedMetric::kEvictionsPerPull, "evictions/pull", 3}, {SeedMetric::kOriginFetchesPerStripe, "upstream/stripe", 2},
};

Table table_of(const std::vector<SeedFix>& fixes, std::size_t size) {
  Table out{fmt::format("N = {}, locality arm, means", fixes[0].sizes[size].shape.nodes), {"rules"}, {}};
  for (const auto& column : kColumns) out.columns.emplace_back(column.title);
  out.columns.emplace_back("benefit in weight");
  for (const auto& fix : fixes) {
    const auto& figures = fix.sizes[size];
    std::vector<std::string> row{fix.name};
    for (const auto& [metric, title, digits] : kColumns)
      row.push_back(fmt::format("{:.{}f}", figures.locality.at(metric).mean, digits));
    row.push_back(fmt::format("{:+.1f} %", 100 * figures.benefit.at(SeedMetric::kCongestionFactor).mean));
    out.rows.push_back(std::move(row));
  }
  return out;
}

/// "+12 %": how a figure of the locality arm moves from the published rules to a fix.
std::string change(const SeedSize& before, const SeedSize& after, SeedMetric metric) {
  const double old = before.locality.at(metric).mean;
  const double percent = old == 0 ? 0 : 100 * (after.locality.at(metric).mean - old) / old;
  return std::abs(percent) < 0.5 ? "the same" : fmt::format("{:+.0f} %", percent);
}

std::string says(const std::vector<SeedFix>& fixes) {
  const auto& before = fixes[0].sizes.back();
  std::string out = fmt::format("At {} nodes, against the published rules:", before.shape.nodes);
  for (std::size_t i = 1; i < fixes.size(); ++i) {
    const auto& after = fixes[i].sizes.back();
    out += fmt::format(" {}: client hops {}, weight of a hop {}, copies {}, load of the busiest {}{}", fixes[i].name,
                       change(before, after, SeedMetric::kClientHops),
                       change(before, after, SeedMetric::kCongestionFactor),
                       change(before, after, SeedMetric::kCopiesPerStripe),
                       change(before, after, SeedMetric::kServeSkewMax), i + 1 < fixes.size() ? ";" : ".");
  }
  return out;
}

ordered_json json_of(const SeedFix& fix) {
  ordered_json out;
  for (const auto& size : fix.sizes) {
    auto& json = out[std::to_string(size.shape.nodes)];
    for (std::size_t i = 0; i < kSeedMetrics; ++i) {
      const std::string name(name_of(static_cast<SeedMetric>(i)));
      const auto put = [&](const char* arm, const Band& band) {
        json[arm][name] = {{"mean", band.mean}, {"p5", band.p5}, {"p95", band.p95}};
      };
      put("locality", size.locality[i]);
      put("uniform", size.uniform[i]);
      if (less_is_better(static_cast<SeedMetric>(i))) put("benefit", size.benefit[i]);
    }
  }
  return out;
}

}  // namespace

Result<std::vector<SeedFix>> run_seed_fixes(const SeedOptions& options, Progress& progress) {
  std::vector<SeedFix> out;
  const auto variants = variants_of(options);
  for (const auto& [name, variant] : variants) {
    const auto phase = fmt::format("pulls, {} of {}: {}", out.size() + 1, variants.size(), name);
    auto sizes = run_seed(variant, progress, phase);
    if (!sizes) return std::unexpected(std::move(sizes.error()));
    out.push_back({name, std::move(*sizes)});
  }
  return out;
}

Report seed_fixes_report(const SeedOptions& options, const std::vector<SeedFix>& fixes) {
  Report out;
  out.title = "The seed protocol's simulator, its flaws put right";
  Section section{"What each changes", says(fixes), {}, {}};
  for (std::size_t i = 0; i < options.nodes.size(); ++i) section.tables.push_back(table_of(fixes, i));
  if (options.nodes.size() > 1) {
    for (const auto& [metric, title] : {std::pair(SeedMetric::kClientHops, "client hops"),
                                        std::pair(SeedMetric::kServeSkewMax, "most serves over the mean")}) {
      Plot plot{title, "nodes", title, true, false, {}};
      for (const auto& fix : fixes) {
        plot.series.push_back({fix.name, {}});
        for (const auto& size : fix.sizes)
          plot.series.back().points.emplace_back(size.shape.nodes, size.locality.at(metric).mean);
      }
      section.plots.push_back(std::move(plot));
    }
  }
  out.sections.push_back(std::move(section));
  ordered_json json;
  for (const auto& fix : fixes) json[fix.name] = json_of(fix);
  out.json = json.dump();
  return out;
}

}  // namespace oxbow::p2p::sim

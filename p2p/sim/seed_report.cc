#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

#include "p2p/sim/seed.h"
#include "p2p/sim/seed_reference.h"

namespace oxbow::p2p::sim {
namespace {

using nlohmann::ordered_json;

int digits_of(SeedMetric metric) {
  switch (metric) {
    case SeedMetric::kCopiesPerStripe:
    case SeedMetric::kCopiesHot:
      return 1;
    case SeedMetric::kServeSkewP99:
    case SeedMetric::kServeSkewMax:
      return 2;
    default:
      return 3;
  }
}

/// The seed's own ten, and what its rules cannot show when they are changed.
std::size_t shown_of(const SeedOptions& options, const SeedShape& shape) {
  const bool evicts = shape.capacity < options.files * options.stripes;
  return options.pinned && !evicts ? kSeedOwnMetrics : kSeedMetrics;
}

/// With its sign, but for what rounds to nothing.
std::string percent(double share) { return std::abs(share) < 0.0005 ? "0.0" : fmt::format("{:+.1f}", 100 * share); }

std::string benefit_cell(SeedMetric metric, const Band& benefit) {
  if (!less_is_better(metric)) return "";
  return fmt::format("{} % [{}, {}]{}", percent(benefit.mean), percent(benefit.p5), percent(benefit.p95),
                     benefit.crosses_zero() ? " ~0" : "");
}

Table size_table(const SeedOptions& options, const SeedSize& size) {
  Table out{fmt::format("N = {}, b = {}, ε = {:.3f}, {} stripes in a node's LRU", size.shape.nodes, size.shape.b,
                        size.shape.epsilon, size.shape.capacity),
            {"metric", "locality", "uniform", "benefit"},
            {}};
  for (std::size_t i = 0; i < shown_of(options, size.shape); ++i) {
    const auto metric = static_cast<SeedMetric>(i);
    const auto digits = digits_of(metric);
    out.rows.push_back({std::string(name_of(metric)), to_string(size.locality[i], digits),
                        to_string(size.uniform[i], digits), benefit_cell(metric, size.benefit[i])});
  }
  return out;
}

std::string marked(std::string cell, bool inside) { return std::move(cell) + (inside ? "" : " OUTSIDE"); }

Section reference_section(const SeedSize& size) {
  Section out{"Against the published values", {}, {}, {}};
  Table table{"N = 1024, 30 seeds",
              {"metric", "locality, published", "here", "uniform, published", "here", "benefit, published", "here"},
              {}};
  std::size_t values = 0;
  std::size_t met = 0;
  for (const auto& reference : kSeedReference) {
    const auto metric = reference.metric;
    const auto digits = digits_of(metric);
    const auto [locality, uniform, benefit] = verdict(reference, size);
    values += reference.benefit ? 3 : 2;
    met += (locality ? 1U : 0U) + (uniform ? 1U : 0U) + (reference.benefit && benefit ? 1U : 0U);
    table.rows.push_back({std::string(name_of(metric)), to_string(reference.locality, digits),
                          marked(fmt::format("{:.{}f}", size.locality.at(metric).mean, digits), locality),
                          fmt::format("{:.{}f}", reference.uniform, digits),
                          marked(to_string(size.uniform.at(metric), digits), uniform),
                          reference.benefit ? percent(*reference.benefit) + " %" : "",
                          marked(benefit_cell(metric, size.benefit.at(metric)), benefit)});
  }
  out.says = fmt::format(
      "{} of {} values are met: the mean here lies inside the published band, or, where only a mean was published, "
      "that "
      "mean lies inside the band here.",
      met, values);
  out.tables.push_back(std::move(table));
  return out;
}

std::string says(const std::vector<SeedSize>& sizes) {
  std::string out;
  for (const auto& size : sizes) {
    const auto& benefit = size.benefit;
    const auto& skew = benefit.at(SeedMetric::kServeSkewP99);
    out += fmt::format(
        "At {} nodes the choice of near fingers changes the weight of a hop by {} % and the client's hops by {} %; "
        "{:.1f} % of the hops leave the rack all the same; the load of the busiest nodes is {}. ",
        size.shape.nodes, percent(-benefit.at(SeedMetric::kCongestionFactor).mean),
        percent(-benefit.at(SeedMetric::kClientHops).mean), 100 * size.locality.at(SeedMetric::kCrossRackShare).mean,
        skew.crosses_zero()
            ? "no different"
            : fmt::format("{:.0f} % {}", 100 * std::abs(skew.mean), skew.mean < 0 ? "higher" : "lower"));
  }
  if (!out.empty()) out.pop_back();
  return out;
}

Plot plot_of(const std::vector<SeedSize>& sizes, const char* title, const char* y_label,
             std::initializer_list<std::pair<SeedMetric, const char*>> metrics, bool log_y) {
  Plot out{title, "nodes", y_label, true, log_y, {}};
  for (const auto& [metric, name] : metrics) {
    Series locality{fmt::format("{}, locality", name), {}};
    Series uniform{fmt::format("{}, uniform", name), {}};
    for (const auto& size : sizes) {
      locality.points.emplace_back(size.shape.nodes, size.locality.at(metric).mean);
      uniform.points.emplace_back(size.shape.nodes, size.uniform.at(metric).mean);
    }
    out.series.push_back(std::move(locality));
    out.series.push_back(std::move(uniform));
  }
  return out;
}

ordered_json json_of(const Band& band) { return {{"mean", band.mean}, {"p5", band.p5}, {"p95", band.p95}}; }

ordered_json json_of(const SeedOptions& options, const SeedSize& size) {
  ordered_json out;
  for (std::size_t i = 0; i < shown_of(options, size.shape); ++i) {
    const auto metric = static_cast<SeedMetric>(i);
    const std::string name(name_of(metric));
    out["locality"][name] = json_of(size.locality[i]);
    out["uniform"][name] = json_of(size.uniform[i]);
    if (less_is_better(metric)) out["benefit"][name] = json_of(size.benefit[i]);
  }
  return out;
}

}  // namespace

SeedVerdict verdict(const SeedReference& reference, const SeedSize& ours) noexcept {
  const auto holds = [](const Band& band, double value) { return band.p5 <= value && value <= band.p95; };
  return {holds(reference.locality, ours.locality.at(reference.metric).mean),
          holds(ours.uniform.at(reference.metric), reference.uniform),
          !reference.benefit || holds(ours.benefit.at(reference.metric), *reference.benefit)};
}

bool is_reference(const SeedOptions& options) noexcept {
  const SeedOptions published;
  const auto key = [](const SeedOptions& o) {
    return std::tuple(o.seeds, o.rack_nodes, o.row_racks, o.v, o.replicas, o.files, o.stripes, o.alpha,
                      o.requests_per_node, o.jitter, o.tier_sampling, o.inverse_b, o.pinned, o.capacity);
  };
  return key(options) == key(published);
}

Report seed_report(const SeedOptions& options, const std::vector<SeedSize>& sizes) {
  Report out;
  out.title = "The seed protocol's simulator";
  Section section{"Locality against uniform choice", says(sizes), {}, {}};
  for (const auto& size : sizes) section.tables.push_back(size_table(options, size));
  if (sizes.size() > 1) {
    section.plots.push_back(
        plot_of(sizes, "Weight of a hop", "congestion factor", {{SeedMetric::kCongestionFactor, "weight"}}, false));
    section.plots.push_back(plot_of(sizes, "Hops that leave the rack, and the row", "share of system hops",
                                    {{SeedMetric::kCrossRackShare, "rack"}, {SeedMetric::kCrossRowShare, "row"}},
                                    false));
    section.plots.push_back(plot_of(sizes, "Copies at the end", "copies of a stripe",
                                    {{SeedMetric::kCopiesPerStripe, "all"}, {SeedMetric::kCopiesHot, "hottest file"}},
                                    true));
    section.plots.push_back(plot_of(sizes, "Load of the busiest nodes", "serves over the mean",
                                    {{SeedMetric::kServeSkewP99, "p99"}, {SeedMetric::kServeSkewMax, "max"}}, false));
  }
  out.sections.push_back(std::move(section));
  ordered_json json;
  for (const auto& size : sizes) {
    if (size.shape.nodes == kSeedReferenceNodes && is_reference(options))
      out.sections.push_back(reference_section(size));
    json[std::to_string(size.shape.nodes)] = json_of(options, size);
  }
  out.json = json.dump();
  return out;
}

}  // namespace oxbow::p2p::sim

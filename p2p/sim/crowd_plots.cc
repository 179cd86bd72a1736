#include "p2p/sim/crowd_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "p2p/sim/band.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kFarApart = 4;  // the largest over the smallest value: from here on the axis is logarithmic

using Value = std::function<double(const CrowdResult&)>;
using Place = std::function<double(const CrowdOutcome&)>;

double mean(const CrowdOutcome& outcome, const Value& value) {
  std::vector<double> values;
  for (const auto& result : outcome.by_seed) values.push_back(value(result));
  return band_of(values).mean;
}

/// Of the nodes with a whole downlink: the others take ten times as long, as their links do.
double p99_of(const CrowdOutcome& outcome) {
  return mean(outcome, outcome.asked.options.slow_both ? &CrowdResult::p99_fast : &CrowdResult::p99);
}

/// What is told apart by name beside what the x axis says: only what is not the same everywhere.
class Names {
 public:
  explicit Names(std::span<const CrowdOutcome> outcomes) {
    for (const auto& one : outcomes) {
      cases_.insert(one.asked.name);
      policies_.insert(one.asked.options.policy);
      nodes_.insert(one.asked.options.network.nodes);
      values_.insert(one.asked.value);
    }
  }
  bool many_nodes() const { return nodes_.size() > 1; }
  bool many_values() const { return values_.size() > 1; }

  std::string of(const CrowdOutcome& one, bool with_nodes, bool with_value) const {
    std::string out;
    const auto add = [&](bool told_apart, const std::string& text) {
      if (told_apart) out += (out.empty() ? "" : ", ") + text;
    };
    add(policies_.size() > 1, std::string(to_string(one.asked.options.policy)));
    add(cases_.size() > 1, one.asked.name);
    add(with_nodes && many_nodes(), fmt::format("{} nodes", one.asked.options.network.nodes));
    add(with_value && many_values(), fmt::format("{} = {:g}", one.asked.swept, one.asked.value));
    return out;
  }

 private:
  std::set<std::string> cases_;
  std::set<CrowdPolicy> policies_;
  std::set<std::uint32_t> nodes_;
  std::set<double> values_;
};

void add_point(Plot& plot, const std::string& name, double x, double y) {
  auto series = std::ranges::find(plot.series, name, &Series::name);
  if (series == plot.series.end()) series = plot.series.insert(series, {name, {}});
  series->points.emplace_back(x, y);
}

/// Curves over `place`: completion (of more than two groups p99 only), and one figure more.
std::vector<Plot> curves(std::span<const CrowdOutcome> outcomes, const std::string& x, const Place& place,
                         const std::function<std::string(const CrowdOutcome&)>& name, Plot other, const Value& value) {
  Plot done{fmt::format("Completion over the bound, by {}", x), x, "times LB", false, false, {}};
  double least = HUGE_VAL;
  double most = 0;
  std::set<std::string> groups;
  for (const auto& one : outcomes) groups.insert(name(one));
  for (const auto& one : outcomes) {
    if (one.by_seed.empty()) continue;
    const auto group = name(one);
    const auto at = place(one);
    least = std::min(least, at);
    most = std::max(most, at);
    const auto prefix = group.empty() ? "" : group + ": ";
    if (groups.size() <= 2) add_point(done, prefix + "p50", at, mean(one, &CrowdResult::p50));
    add_point(done, prefix + "p99", at, p99_of(one));
    add_point(other, group.empty() ? "mean of the seeds" : group, at, mean(one, value));
  }
  other.title += fmt::format(", by {}", x);
  other.x_label = x;
  done.log_x = other.log_x = least > 0 && most >= kFarApart * least;
  return {std::move(done), std::move(other)};
}

/// One row a case, best first.
Plot rows(std::span<const CrowdOutcome> outcomes, const Names& names) {
  std::vector<const CrowdOutcome*> order;
  for (const auto& one : outcomes) {
    if (!one.by_seed.empty()) order.push_back(&one);
  }
  std::ranges::sort(order,
                    [&](const auto* a, const auto* b) { return std::pair(p99_of(*a), a) < std::pair(p99_of(*b), b); });
  Plot out{.title = "Completion over the bound",
           .x_label = "times LB",
           .y_label = "",
           .log_x = false,
           .log_y = false,
           .series = {{"p50", {}}, {"p99", {}}, {"max", {}}}};
  for (const auto* one : order) {
    const auto row = static_cast<double>(out.rows.size());
    out.rows.push_back(names.of(*one, true, true));
    out.series[0].points.emplace_back(mean(*one, &CrowdResult::p50), row);
    out.series[1].points.emplace_back(p99_of(*one), row);
    out.series[2].points.emplace_back(
        mean(*one, one->asked.options.slow_both ? &CrowdResult::max_fast : &CrowdResult::max), row);
  }
  out.log_x = !order.empty() && p99_of(*order.back()) >= kFarApart * p99_of(*order.front());
  return out;
}

}  // namespace

std::vector<Plot> crowd_plots(std::span<const CrowdOutcome> outcomes) {
  const Names names(outcomes);
  if (names.many_values()) {
    Plot news{"News of stripes that a node gets", "", "stripes told of", false, false, {}};
    return curves(
        outcomes, outcomes.front().asked.swept, [](const CrowdOutcome& one) { return one.asked.value; },
        [&](const CrowdOutcome& one) { return names.of(one, true, false); }, std::move(news),
        [](const CrowdResult& result) {
          return static_cast<double>(result.news) / std::max<std::uint32_t>(result.wanted, 1);
        });
  }
  if (names.many_nodes()) {
    Plot upload{"Upload of the busiest node over the mean", "", "max / mean", false, false, {}};
    return curves(
        outcomes, "nodes", [](const CrowdOutcome& one) { return static_cast<double>(one.asked.options.network.nodes); },
        [&](const CrowdOutcome& one) { return names.of(one, false, true); }, std::move(upload),
        &CrowdResult::upload_max);
  }
  if (outcomes.size() > 1) return {rows(outcomes, names)};
  return {};
}

}  // namespace oxbow::p2p::sim

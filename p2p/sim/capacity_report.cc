// What `oxbow sim capacity` tells.
#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "p2p/sim/capacity_study.h"

namespace oxbow::p2p::sim {
namespace {

using Measure = std::function<double(const CapacityResult&)>;

double mean(const CapacityArm& arm, const Measure& measure) {
  double sum = 0;
  for (const auto& result : arm.results) sum += measure(result);
  return sum / static_cast<double>(arm.results.size());
}

/// One value as it is, more as a band.
std::string percent(const CapacityArm& arm, const Measure& measure) {
  std::vector<double> values;
  for (const auto& result : arm.results) values.push_back(100 * measure(result));
  return values.size() == 1 ? fmt::format("{:.2f}", values.front()) : to_string(band_of(values), 2);
}

const CapacityClass* last_class(const CapacityResult& result, bool model) {
  if (result.classes.empty() || (result.classes.back().name == "the model") != model) return nullptr;
  return &result.classes.back();
}

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

double model_hit(const CapacityResult& result) {
  const auto* model = last_class(result, true);
  return model == nullptr ? 0 : 1 - share(model->upstream_bytes, model->asked_bytes);
}

std::string arm_name(const CapacityArm& arm) {
  const auto files = arm.options.model_files;
  const auto load = arm.options.load == CapacityLoad::kImages
                        ? std::string("images")
                        : fmt::format("{}, {} file{}", to_string(arm.options.load), files, files == 1 ? "" : "s");
  return load + "; " + arm.policy + "; " + arm.rule;
}

Section size_section(std::uint32_t nodes, const std::vector<const CapacityArm*>& arms) {
  const auto& base = arms.front()->options;
  const double aggregate = static_cast<double>(base.budget_bytes()) * nodes;
  Section out;
  out.title = fmt::format("{} nodes", nodes);
  Table table{"Bytes after the caches have filled, in percent",
              {"load; eviction; rule", "from this node or peers", "from this node", "upstream again TB",
               "working set kept", "model from nodes", "model copies min / mean / max"},
              {}};
  const CapacityArm* whole = nullptr;
  const CapacityArm* cut = nullptr;
  for (const auto* arm : arms) {
    const auto* model = last_class(arm->results.front(), true);
    table.rows.push_back(
        {arm_name(*arm), percent(*arm, &CapacityResult::hit_share), percent(*arm, &CapacityResult::local_share),
         fmt::format("{:.3f}", mean(*arm, &CapacityResult::upstream_bytes) / 1e12),
         percent(*arm, &CapacityResult::usable_share), model == nullptr ? "" : percent(*arm, model_hit),
         model == nullptr ? ""
                          : fmt::format("{} / {:.1f} / {}", model->copies_min, model->copies_mean, model->copies_max)});
    if (arm->options.load != CapacityLoad::kModel || arm->rule != "as it is") continue;
    (arm->options.model_files == 1 ? whole : cut) = arm;
  }
  out.says = fmt::format("The budgets together are {:.0f} TB.", aggregate / 1e12);
  if (whole != nullptr) {
    out.says += fmt::format(" A model of {:.0f} GB in one file is kept to {:.0f} % by {:.0f} nodes that pulled it.",
                            static_cast<double>(base.model_bytes) / 1e9,
                            100 * mean(*whole, &CapacityResult::usable_share), base.model_share * nodes);
  }
  if (cut != nullptr) {
    out.says += fmt::format(" In {} files it is kept to {:.0f} %.", cut->options.model_files,
                            100 * mean(*cut, &CapacityResult::usable_share));
  }
  out.tables.push_back(std::move(table));
  return out;
}

Table class_table(const CapacityArm& arm) {
  Table out{arm_name(arm) + ": by popularity, in percent of the bytes asked for",
            {"class", "this node", "peers", "upstream", "kept", "copies min / mean / max"},
            {}};
  for (const auto& one : arm.results.front().classes) {
    const auto part = [&](double bytes) { return fmt::format("{:.2f}", 100 * share(bytes, one.asked_bytes)); };
    out.rows.push_back(
        {one.name, part(one.local_bytes), part(one.peer_bytes), part(one.upstream_bytes),
         fmt::format("{:.2f}", 100 * share(static_cast<double>(one.kept_bytes), static_cast<double>(one.bytes))),
         fmt::format("{} / {:.1f} / {}", one.copies_min, one.copies_mean, one.copies_max)});
  }
  return out;
}

Section sweep_section(const std::vector<const CapacityArm*>& arms) {
  Section out;
  out.title = "Working set against the budgets together";
  Table table{"In percent of the bytes that had been asked for before",
              {"working set / budgets; eviction; rule", "from this node or peers", "from this node", "working set kept",
               "coldest half from upstream"},
              {}};
  Plot plot{.title = "Bytes from nodes, by working set",
            .x_label = "working set / all budgets",
            .y_label = "from nodes, %",
            .log_x = true,
            .log_y = false,
            .series = {}};
  double as_it_is = 0;
  double protected_share = 0;
  for (const auto* arm : arms) {
    const auto hit = 100 * mean(*arm, &CapacityResult::hit_share);
    table.rows.push_back({fmt::format("{:.2f}; {}; {}", arm->fill, arm->policy, arm->rule),
                          percent(*arm, &CapacityResult::hit_share), percent(*arm, &CapacityResult::local_share),
                          percent(*arm, &CapacityResult::usable_share), percent(*arm, [](const CapacityResult& result) {
                            const auto* cold = last_class(result, false);
                            return cold == nullptr ? 0
                                                   : share(cold->upstream_bytes - cold->first_bytes,
                                                           cold->asked_bytes - cold->first_bytes);
                          })});
    const auto name = arm->policy + "; " + arm->rule;
    auto series = std::ranges::find(plot.series, name, &Series::name);
    if (series == plot.series.end()) series = plot.series.insert(series, {name, {}});
    series->points.emplace_back(arm->fill, hit);
    if (arm->fill == 1 && arm->policy == arms.back()->policy)
      (arm->options.last_copy ? protected_share : as_it_is) = 100 * mean(*arm, &CapacityResult::usable_share);
  }
  out.says = fmt::format(
      "With {} nodes that each keep what they pull, a working set as large as all budgets is kept to {:.0f} %; if the "
      "last copy in the cluster were protected, to {:.0f} %.",
      arms.front()->options.nodes, as_it_is, protected_share);
  out.tables.push_back(std::move(table));
  out.plots.push_back(std::move(plot));
  return out;
}

nlohmann::json to_json(const CapacityArm& arm) {
  nlohmann::json out = {{"nodes", arm.options.nodes},
                        {"load", std::string(to_string(arm.options.load))},
                        {"model_files", arm.options.model_files},
                        {"policy", arm.policy},
                        {"rule", arm.rule},
                        {"hit", mean(arm, &CapacityResult::hit_share)},
                        {"local", mean(arm, &CapacityResult::local_share)},
                        {"usable", mean(arm, &CapacityResult::usable_share)},
                        {"upstream_bytes", mean(arm, &CapacityResult::upstream_bytes)}};
  if (arm.fill > 0) out["working_set_over_budgets"] = arm.fill;
  for (const auto& one : arm.results.front().classes) {
    out["classes"].push_back({{"name", one.name},
                              {"bytes", one.bytes},
                              {"kept_bytes", one.kept_bytes},
                              {"asked_bytes", one.asked_bytes},
                              {"local_bytes", one.local_bytes},
                              {"peer_bytes", one.peer_bytes},
                              {"upstream_bytes", one.upstream_bytes},
                              {"copies_min", one.copies_min},
                              {"copies_mean", one.copies_mean},
                              {"copies_max", one.copies_max}});
  }
  return out;
}

}  // namespace

Report capacity_report(const CapacityStudy& study, const std::vector<CapacityArm>& arms) {
  Report out;
  out.title = "Capacity: which part of the budgets is usable";
  nlohmann::json all = nlohmann::json::array();
  for (const auto& arm : arms) all.push_back(to_json(arm));
  for (const auto nodes : study.nodes) {
    std::vector<const CapacityArm*> of_size;
    for (const auto& arm : arms) {
      if (arm.fill == 0 && arm.options.nodes == nodes) of_size.push_back(&arm);
    }
    if (of_size.empty()) continue;
    auto section = size_section(nodes, of_size);
    for (const auto* arm : of_size) {
      const bool daemons = arm->policy == of_size.back()->policy && arm->rule == "as it is";
      if (daemons && arm->options.load == CapacityLoad::kBoth) section.tables.push_back(class_table(*arm));
    }
    out.sections.push_back(std::move(section));
  }
  std::vector<const CapacityArm*> sweep;
  for (const auto& arm : arms) {
    if (arm.fill > 0) sweep.push_back(&arm);
  }
  if (!sweep.empty()) out.sections.push_back(sweep_section(sweep));
  out.json = nlohmann::json{{"arms", all}}.dump();
  return out;
}

}  // namespace oxbow::p2p::sim

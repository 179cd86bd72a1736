#include "p2p/sim/crowd_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace oxbow::p2p::sim {
namespace {

struct Named {
  std::string_view name;
  double least;
  double most;
  std::function<void(CrowdOptions&, double)> set;
  bool power_of_two = false;
};

std::uint32_t whole(double value) { return static_cast<std::uint32_t>(value); }

const std::vector<Named>& options_by_name() {
  static const std::vector<Named> all = {
      {"neighbours", 1, 51,
       [](CrowdOptions& options, double value) {
         // A node knows a quarter more than it is told of at once.
         options.coordinator.neighbours = whole(value);
         options.swarm.neighbours = whole(value * 1.25);
       }},
      {"span", 1, LeaseSpans::kMostStripes,
       [](CrowdOptions& options, double value) {
         options.coordinator.span_stripes = whole(value);
         options.swarm.span_stripes = whole(value);
       },
       true},
      {"probes", 1, 64, [](CrowdOptions& options, double value) { options.swarm.probes = whole(value); }},
      {"fetches", 1, 64, [](CrowdOptions& options, double value) { options.swarm.peer_fetches = whole(value); }},
      {"per_peer", 1, 64, [](CrowdOptions& options, double value) { options.swarm.per_peer = whole(value); }},
      {"window", 1, 1e6,
       [](CrowdOptions& options, double value) {
         options.window = std::min(options.window, whole(value));
         options.window_max = whole(value);
       }},
      {"window_missing", 0, 1, [](CrowdOptions& options, double value) { options.window_counts_missing = value > 0; }},
      {"first_window", 1, 1e6, [](CrowdOptions& options, double value) { options.first_window = whole(value); }},
      {"slots", 1, 1e4, [](CrowdOptions& options, double value) { options.upload_slots = whole(value); }},
      {"waiting", 0, 1e4, [](CrowdOptions& options, double value) { options.upload_waiting = whole(value); }},
      {"same_stripe", 0, 1e4, [](CrowdOptions& options, double value) { options.same_stripe = whole(value); }},
      {"in_turn_stripes", 0, 1e6, [](CrowdOptions& options, double value) { options.in_turn_stripes = whole(value); }},
      {"replicas", 1, 64, [](CrowdOptions& options, double value) { options.replicas = whole(value); }},
      {"leases", 1, 1e4,
       [](CrowdOptions& options, double value) { options.coordinator.parallel_leases = whole(value); }},
      {"members", 1, 1e6,
       [](CrowdOptions& options, double value) { options.coordinator.members_per_blob = whole(value); }},
      {"line_ms", 1, 1e4,
       [](CrowdOptions& options, double value) { options.line_every = static_cast<Micros>(value * 1000); }},
      {"latency_ms", 0.01, 1e4,
       [](CrowdOptions& options, double value) {
         // One way between any two nodes, as where messages wait behind what fills their links.
         const auto latency = static_cast<Micros>(value * 1000);
         options.network.rack_latency = options.network.row_latency = options.network.far_latency = latency;
       }},
      {"blob_mib", 1, 1e6,
       [](CrowdOptions& options, double value) { options.blob_bytes = std::uint64_t{whole(value)} << 20U; }},
      {"oversubscription", 0, 1e3,
       [](CrowdOptions& options, double value) { options.network.rack_oversubscription = value; }},
  };
  return all;
}

}  // namespace

std::string CrowdCase::title() const { return swept.empty() ? name : fmt::format("{}, {} = {:g}", name, swept, value); }

const std::vector<std::string_view>& crowd_scenarios() {
  static const std::vector<std::string_view> all = {"flash", "staggered", "partial", "slow", "warm", "deaths"};
  return all;
}

Result<std::vector<CrowdCase>> crowd_scenario(std::string_view name, const CrowdOptions& base) {
  std::vector<CrowdCase> cases;
  const auto add = [&](std::string title, auto change) {
    cases.push_back({std::move(title), base});
    change(cases.back().options);
  };
  if (name == "flash") {
    add("flash crowd", [](CrowdOptions&) {});
  } else if (name == "staggered") {
    // Spread over twice the time that one of them needs.
    add("staggered arrival",
        [](CrowdOptions& options) { options.apart = static_cast<Micros>(2e6 * crowd_bound_seconds(options)); });
  } else if (name == "partial") {
    for (const double share : {1.0, 0.1, 0.01})
      add(fmt::format("{:g} % want it", share * 100), [share](CrowdOptions& options) { options.demand = share; });
  } else if (name == "slow") {
    add("5 % with a tenth of the uplink", [](CrowdOptions& options) { options.slow = 0.05; });
    add("5 % with a tenth of both links", [](CrowdOptions& options) {
      options.slow = 0.05;
      options.slow_both = true;
    });
  } else if (name == "warm") {
    add("10 % have it already", [](CrowdOptions& options) { options.warm = 0.1; });
  } else if (name == "deaths") {
    add("1 % die a minute", [](CrowdOptions& options) { options.deaths_a_minute = 0.01; });
  } else {
    return fail(Errc::kInvalid, fmt::format("no scenario is called {}", name));
  }
  return cases;
}

const std::vector<std::string_view>& crowd_option_names() {
  static const std::vector<std::string_view> all = [] {
    std::vector<std::string_view> names;
    for (const auto& one : options_by_name()) names.push_back(one.name);
    return names;
  }();
  return all;
}

Result<> set_crowd_option(CrowdOptions& options, std::string_view name, double value) {
  const auto found = std::ranges::find(options_by_name(), name, &Named::name);
  if (found == options_by_name().end()) return fail(Errc::kInvalid, fmt::format("{} cannot be swept", name));
  if (!(value >= found->least && value <= found->most))
    return fail(Errc::kInvalid, fmt::format("{} is from {:g} to {:g}", name, found->least, found->most));
  if (found->power_of_two && !std::has_single_bit(whole(value)))
    return fail(Errc::kInvalid, fmt::format("{} is a power of two", name));
  found->set(options, value);
  return {};
}

std::vector<CrowdOutcome> run_crowds(std::span<const CrowdCase> cases, std::uint32_t seeds, std::uint64_t first_seed,
                                     unsigned threads, Progress& progress) {
  std::vector<CrowdOutcome> outcomes;
  std::uint64_t nodes = 0;
  for (const auto& one : cases) {
    outcomes.push_back({one, std::vector<CrowdResult>(seeds)});
    nodes += std::uint64_t{seeds} * one.options.network.nodes;
  }
  progress.begin("crowds", nodes);
  for_each_run(cases.size() * seeds, threads, [&](std::size_t run) {
    auto& outcome = outcomes[run / seeds];
    auto options = outcome.asked.options;
    options.seed = first_seed + run % seeds;
    outcome.by_seed[run % seeds] = run_crowd(options, &progress);
  });
  return outcomes;
}

}  // namespace oxbow::p2p::sim

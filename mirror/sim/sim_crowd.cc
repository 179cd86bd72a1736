// `oxbow sim crowd`: the command line of p2p/sim/crowd.h.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/crowd_cases.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
Many nodes pull one blob at the same time. How long do they take over the least time that any crowd could (LB), how often
does each byte leave the upstream registry, and who carries the load? Strategies, coordinators, ring and peer table are the
daemon's own code; links, clocks and the registry are simulated.
  oxbow sim crowd                                   a flash crowd of 1,000 nodes with the default strategy
  oxbow sim crowd --nodes 10000 --scenario all      all scenarios at 10,000 nodes
  oxbow sim crowd --strategy swarm,ring,single      strategies side by side
  oxbow sim crowd --sweep neighbours=8,16,32        what one number of the design does
  oxbow sim crowd --rack-oversubscription 4 --row-oversubscription 2
Bandwidth is shared equally at both ends of a flow, and what others leave is given away; a link is never above its capacity.
)";

constexpr double kBytesPerMegabit = 1e6 / 8;

class SimCrowd final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  Result<CrowdOptions> base() const;
  std::string changed() const;
  Result<std::vector<CrowdCase>> swept(std::vector<CrowdCase> cases) const;

  std::vector<std::string> strategies_{"swarm"};
  std::vector<std::string> scenarios_{"flash"};
  std::string sweep_;
  double blob_mib_ = 1024;
  double up_ = 1000;
  double down_ = 1000;
  double upstream_ = 10'000;
  double upstream_connection_ = 0;
  double rack_oversubscription_ = 0;
  double row_oversubscription_ = 0;
  std::uint32_t rack_nodes_ = 32;
  std::uint32_t row_racks_ = 16;
  bool store_and_forward_ = false;
  bool plain_shares_ = false;
};

CLI::App* SimCrowd::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("crowd", "A crowd of nodes pulls one blob: time over the bound, egress, load");
  const auto number = [&](const char* name, auto& value, const char* help) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::NonNegativeNumber);
  };
  out->add_option("--strategy", strategies_,
                  "swarm, ring, fingers, single: the daemon's; hierarchy, tree, spegel, dragonfly, kraken, gantry")
      ->option_text("NAME,NAME=swarm")
      ->delimiter(',');
  out->add_option("--scenario", scenarios_, "flash, staggered, partial, slow, warm, deaths; or all")
      ->option_text("NAME,NAME=flash")
      ->delimiter(',');
  std::string names;
  for (const auto name : crowd_option_names()) names += (names.empty() ? "" : ", ") + std::string(name);
  out->add_option("--sweep", sweep_, "NAME=VALUE,VALUE…: each case with each value. NAME: " + names);
  number("--blob", blob_mib_, "Size of the blob in MiB");
  number("--up", up_, "A node's uplink in Mb/s");
  number("--down", down_, "A node's downlink in Mb/s");
  number("--upstream", upstream_, "What the upstream registry gives in all, in Mb/s");
  number("--upstream-connection", upstream_connection_, "What it gives one connection, in Mb/s; 0: no throttle");
  number("--rack-nodes", rack_nodes_, "Nodes in a rack");
  number("--row-racks", row_racks_, "Racks in a row");
  number("--rack-oversubscription", rack_oversubscription_, "Links of a rack's nodes over its uplink; 0: never full");
  number("--row-oversubscription", row_oversubscription_, "Uplinks of a row's racks over the row's; 0: never full");
  out->add_flag("--store-and-forward", store_and_forward_, "A stripe is passed on only when all of it is there");
  out->add_flag("--plain-shares", plain_shares_, "Equal shares without redistribution, for comparison");
  out->footer(kExample);
  return out;
}

Result<CrowdOptions> SimCrowd::base() const {
  CrowdOptions options;
  const auto rate = [](double megabits) { return static_cast<Rate>(megabits * kBytesPerMegabit); };
  options.blob_bytes = static_cast<std::uint64_t>(blob_mib_ * 1024 * 1024);
  options.network.up = rate(up_);
  options.network.down = rate(down_);
  options.network.upstream = rate(upstream_);
  options.network.upstream_connection = rate(upstream_connection_);
  options.network.rack_nodes = rack_nodes_;
  options.network.row_racks = row_racks_;
  options.network.rack_oversubscription = rack_oversubscription_;
  options.network.row_oversubscription = row_oversubscription_;
  options.network.redistribute = !plain_shares_;
  options.cut_through = !store_and_forward_;
  if (options.blob_bytes == 0 || options.network.up <= 0 || options.network.down <= 0 ||
      options.network.upstream <= 0 || rack_nodes_ == 0 || row_racks_ == 0)
    return fail(Errc::kInvalid, "the blob, links, racks and rows must not be empty");
  return options;
}

/// The options of the network that are not as they are by default.
std::string SimCrowd::changed() const {
  const SimCrowd usual;
  std::string text;
  const auto add = [&](const char* name, auto value, auto usual_value) {
    if (value != usual_value) text += fmt::format(" {} {}", name, value);
  };
  add("--blob", blob_mib_, usual.blob_mib_);
  add("--up", up_, usual.up_);
  add("--down", down_, usual.down_);
  add("--upstream", upstream_, usual.upstream_);
  add("--upstream-connection", upstream_connection_, usual.upstream_connection_);
  add("--rack-nodes", rack_nodes_, usual.rack_nodes_);
  add("--row-racks", row_racks_, usual.row_racks_);
  add("--rack-oversubscription", rack_oversubscription_, usual.rack_oversubscription_);
  add("--row-oversubscription", row_oversubscription_, usual.row_oversubscription_);
  if (store_and_forward_) text += " --store-and-forward";
  if (plain_shares_) text += " --plain-shares";
  return text;
}

/// Every case with every value of --sweep.
Result<std::vector<CrowdCase>> SimCrowd::swept(std::vector<CrowdCase> cases) const {
  if (sweep_.empty()) return cases;
  const auto equals = sweep_.find('=');
  if (equals == std::string::npos) return fail(Errc::kInvalid, "--sweep takes NAME=VALUE,VALUE…");
  const auto name = sweep_.substr(0, equals);
  std::vector<CrowdCase> out;
  for (const auto& one : cases) {
    for (std::size_t at = equals + 1; at <= sweep_.size();) {
      const auto end = std::min(sweep_.find(',', at), sweep_.size());
      double value = 0;
      const auto [rest, error] = std::from_chars(sweep_.data() + at, sweep_.data() + end, value);
      if (error != std::errc() || rest != sweep_.data() + end)
        return fail(Errc::kInvalid, fmt::format("--sweep: {} is no number", sweep_.substr(at, end - at)));
      auto next = one;
      next.swept = name;
      next.value = value;
      if (auto set = set_crowd_option(next.options, name, value); !set) return std::unexpected(set.error());
      out.push_back(std::move(next));
      at = end + 1;
    }
  }
  return out;
}

Result<Report> SimCrowd::run(const SimCommon& common, Progress& progress) {
  auto base_options = base();
  if (!base_options) return std::unexpected(base_options.error());
  std::vector<std::string> scenarios = scenarios_;
  if (scenarios == std::vector<std::string>{"all"})
    scenarios.assign(crowd_scenarios().begin(), crowd_scenarios().end());
  const auto nodes = common.nodes.empty() ? std::vector<std::uint32_t>{1'000} : common.nodes;
  std::vector<CrowdCase> cases;
  for (const auto count : nodes) {
    if (count == 0) return fail(Errc::kInvalid, "--nodes: at least one");
    for (const auto& strategy : strategies_) {
      const auto policy = crowd_policy_of(strategy);
      if (!policy) return fail(Errc::kInvalid, fmt::format("no strategy is called {}", strategy));
      auto options = *base_options;
      options.policy = *policy;
      options.network.nodes = count;
      for (const auto& scenario : scenarios) {
        auto more = crowd_scenario(scenario, options);
        if (!more) return std::unexpected(more.error());
        cases.insert(cases.end(), more->begin(), more->end());
      }
    }
  }
  auto all = swept(std::move(cases));
  if (!all) return std::unexpected(all.error());
  const auto outcomes =
      run_crowds(*all, common.seeds == 0 ? 1 : common.seeds, common.first_seed, common.threads, progress);
  if (progress.cancelled()) return fail(Errc::kCancelled, "interrupted");
  std::string command = "oxbow sim crowd";
  for (std::size_t i = 0; i < nodes.size(); ++i) command += fmt::format("{}{}", i == 0 ? " --nodes " : ",", nodes[i]);
  command += fmt::format(" --strategy {} --scenario {}", fmt::join(strategies_, ","), fmt::join(scenarios, ","));
  if (!sweep_.empty()) command += " --sweep " + sweep_;
  command += changed();
  return crowd_report(outcomes, std::move(command));
}

}  // namespace

std::unique_ptr<SimPart> make_sim_crowd() { return std::make_unique<SimCrowd>(); }

}  // namespace oxbow::mirror

// `oxbow sim churn`: the command line of p2p/sim/churn_study.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/churn_study.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
Nodes die without a word and as many new ones come, empty; membership tells it late. How many pulls ask a dead peer, what
does that cost, and does the cache still work? Arms: 0.1, 1 and 10 % of the nodes a minute, a rack of 32 at once, a rolling
upgrade; views that are fresh (within a second), 30 s and 5 min old on average; with and without what a node remembers of
peers that did not answer (circuit breakers and probes); the swarm and the fingers.
  oxbow sim churn                                    1,000 and 10,000 nodes
  oxbow sim churn --nodes 1000 --rate 0.1 --stale-s 300 --strategy fingers
  oxbow sim churn --nodes 100000 --rate 0.01 --stale-s 30 --strategy swarm --scenario steady
  oxbow sim churn --reannounce settled               with another rule of telling coordinators who holds what
A pull asks a coordinator and holders, or goes along fingers; a dead peer costs the daemon's own time-outs. Bandwidth and
eviction do not exist here: a node keeps what it has pulled.
)";

class SimChurn final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  ChurnStudy study_;
  std::vector<double> stale_s_;
  std::string strategy_ = "both";
  std::string scenario_ = "all";
  std::string reannounce_ = "moved";
};

CLI::App* SimChurn::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("churn", "Nodes leave and join: dead peers asked, hops, time and upstream bytes lost");
  auto& base = study_.base;
  const auto number = [&](const char* name, auto& value, const char* help, auto least, auto most) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::Range(least, most));
  };
  const auto choice = [&](const char* name, std::string& value, const char* help, std::vector<std::string> choices) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::IsMember(std::move(choices)));
  };
  out->add_option("--rate", study_.rates, "Of the nodes that die a minute, and come, e.g. 0.001,0.01")
      ->delimiter(',')
      ->check(CLI::Range(1e-6, 1.0));
  out->add_option("--stale-s", stale_s_, "Mean ages of the views in seconds, e.g. 0,30,300")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 3'600.0));
  choice("--strategy", strategy_, "swarm, fingers, or both after each other", {"swarm", "fingers", "both"});
  choice("--scenario", scenario_, "steady, rack, rolling, or all three", {"steady", "rack", "rolling", "all"});
  choice("--reannounce", reannounce_, "When holders tell again: moved, as the daemon does; or settled",
         {"settled", "moved"});
  number("--blobs", base.blobs, "That are pulled", 1U, 100'000U);
  number("--alpha", base.alpha, "Of their Zipf popularity; 0: all alike", 0.0, 4.0);
  number("--held-per-node", base.held_per_node, "Of them in each node's cache at the start", 1U, 1'000U);
  number("--pulls", base.pulls, "Measured", 100U, 10'000'000U);
  number("--measured-ms", base.measured_ms, "Time that they spread over", 1'000U, 86'400'000U);
  number("--pull-ms", base.pull_ms, "That a pull takes from its first byte on", 1U, 3'600'000U);
  number("--hop-ms", base.hop_ms, "A request to a living peer and its answer", 1U, 1'000U);
  number("--batch", base.batch, "Of the nodes that restart at a time in a rolling upgrade", 1e-4, 1.0);
  number("--down-ms", base.down_ms, "That a restart takes", 1U, 3'600'000U);
  number("--rack-nodes", base.rack_nodes, "Nodes in a rack", 1U, 1'000U);
  out->footer(kExample);
  return out;
}

Result<Report> SimChurn::run(const SimCommon& common, Progress& progress) {
  auto study = study_;
  take_common(common, study, study.nodes, {300});
  if (common.quick) study.base.pulls = 2'000;
  if (std::ranges::any_of(study.nodes, [](std::uint32_t nodes) { return nodes < 3; }))
    return fail(Errc::kInvalid, "--nodes: churn needs three nodes at least");
  if (!stale_s_.empty()) study.stale_ms.clear();
  for (const double seconds : stale_s_) study.stale_ms.push_back(static_cast<std::uint32_t>(seconds * 1'000));
  if (strategy_ == "swarm") study.strategies = {ChurnStrategy::kSwarm};
  if (strategy_ == "fingers") study.strategies = {ChurnStrategy::kFingers};
  if (scenario_ == "steady") study.scenarios = {ChurnScenario::kSteady};
  if (scenario_ == "rack") study.scenarios = {ChurnScenario::kRack};
  if (scenario_ == "rolling") study.scenarios = {ChurnScenario::kRolling};
  study.base.reannounce = reannounce_ == "moved" ? ReannounceRule::kMoved : ReannounceRule::kSettled;
  const auto arms = run_churn_study(study, progress);
  if (!arms) return std::unexpected(arms.error());
  return churn_report(study, *arms);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_churn() { return std::make_unique<SimChurn>(); }

}  // namespace oxbow::mirror

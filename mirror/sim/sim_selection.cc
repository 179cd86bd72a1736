// `oxbow sim selection`: the command line of p2p/sim/selection.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/selection.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
Many peers have the stripe: whom to ask? A client knows what its peer table knew at its last refresh, and what its own
requests have taught it since. Some peers are slow, some are dead and the table does not know it yet, and whoever looks
best to everybody is soon the worst.
The question: which rule keeps the slowest of a hundred stripes quick, and how old may the table be?
  oxbow sim selection                         64 nodes, refreshes from 1 s to 10 min; then probation on and off
  oxbow sim selection --load 0.9 --slow 10    busier links, 10 % slow peers
  oxbow sim selection --refresh 30 --leave 10 a table of up to 30 s, 10 % of the peers replaced a minute
"EWMA latency + load" is the daemon's own rule; hedging of late stripes, which it also does, is not simulated here.
)";

class SimSelection final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  SelectionOptions options_;
  double slow_percent_ = options_.slow_share * 100;
  double leave_percent_ = options_.leaves * 100;
};

CLI::App* SimSelection::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("selection", "Whom to ask: random, two choices, EWMA latency, the daemon's rule");
  const auto number = [&](const char* name, auto& value, const char* help) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  const auto percent = [&](const char* name, double& value, const char* help) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::Range(0.0, 100.0));
  };
  out->add_option("--refresh", options_.refresh_s, "Seconds between refreshes of a client's peer table")
      ->delimiter(',')
      ->capture_default_str();
  number("--candidates", options_.candidates, "Peers that a client may ask");
  number("--load", options_.load, "Of all links together, if no peer were slow");
  number("--stripe", options_.stripe_ms, "Milliseconds of a stripe alone on a link");
  percent("--slow", slow_percent_, "Percent of the peers that are slow");
  number("--slow-factor", options_.slow_factor, "Speed of a slow peer's link");
  percent("--leave", leave_percent_, "Percent of the peers that die a minute, and as many that join");
  number("--timeout", options_.timeout_ms, "Milliseconds until a dead peer is given up");
  number("--measure", options_.measured_s, "Seconds that are measured, after a refresh interval and a minute");
  out->footer(kExample);
  return out;
}

Result<Report> SimSelection::run(const SimCommon& common, Progress& progress) {
  auto options = options_;
  take_common(common, options, options.nodes);
  options.slow_share = slow_percent_ / 100;
  options.leaves = leave_percent_ / 100;
  if (common.quick) {
    options.refresh_s = {1, 30, 300};
    options.measured_s = 60;
  }
  const auto result = run_selection(options, progress);
  if (!result) return std::unexpected(result.error());
  return selection_report(options, *result);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_selection() { return std::make_unique<SimSelection>(); }

}  // namespace oxbow::mirror

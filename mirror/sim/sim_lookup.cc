// `oxbow sim lookup`: the command line of p2p/sim/lookup.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/lookup.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
Who owns this key? With the full membership on every node the answer is computed, and one request reaches the owner. The
seed protocol's fingers take three. A Chord or Kademlia node knows a few dozen or hundred others and asks its way there.
The question: is it worth it to know everybody, and what happens to each way when nodes come and go?
  oxbow sim lookup                            100 to 100,000 nodes, 0 to 10 % leaving and joining a minute
  oxbow sim lookup --nodes 10000 --churn 1    one size, 1 % a minute
  oxbow sim lookup --view 300                 a membership that is refreshed only every 5 minutes
  oxbow sim lookup --bucket-refresh 30        Kademlia with tables as fresh as the ring's view, and what that costs
Look-ups here find nothing cached and learn nothing from one another. What full membership costs is in the last table.
)";

class SimLookup final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  LookupOptions options_;
  std::vector<double> churn_percent_ = {0, 0.1, 1, 10};
  double view_s_ = options_.view_ms / 1e3;
  double stabilize_s_ = options_.chord_stabilize_ms / 1e3;
  double bucket_refresh_s_ = options_.kademlia_refresh_ms / 1e3;
};

CLI::App* SimLookup::add(CLI::App& sim) {
  auto* out =
      sim.add_subcommand("lookup", "Finding a key's owner: full membership, fingers, Chord, Kademlia, in churn");
  const auto number = [&](const char* name, auto& value, const char* help) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  out->add_option("--churn", churn_percent_, "Percent of the nodes that leave a minute, and as many that join")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(0.0, 50.0));
  number("--lookups", options_.lookups, "Look-ups of a run");
  number("--view", view_s_, "Seconds between refreshes of the full membership");
  number("--replicas", options_.replicas, "Ring: members that are tried in order");
  number("--timeout", options_.timeout_ms, "Milliseconds until a node that does not answer is given up");
  number("--round-trip", options_.round_trip_ms, "Milliseconds of a hop");
  number("--stabilize", stabilize_s_, "Chord: seconds between stabilisations, and between fingers that are looked up");
  number("--successors", options_.chord_successors, "Chord: successors that a node knows");
  number("--k", options_.kademlia_k, "Kademlia: nodes in a bucket, and holders of a key");
  number("--alpha", options_.kademlia_alpha, "Kademlia: requests at a time");
  number("--bucket-refresh", bucket_refresh_s_, "Kademlia: seconds between refreshes of a bucket");
  out->footer(kExample);
  return out;
}

Result<Report> SimLookup::run(const SimCommon& common, Progress& progress) {
  auto options = options_;
  take_common(common, options, options.nodes, {100, 1'000, 10'000});
  options.leaves.clear();
  for (const auto percent : churn_percent_) options.leaves.push_back(percent / 100);
  // What is too long is refused by the simulation itself; this keeps the numbers in range.
  for (const double seconds : {view_s_, stabilize_s_, bucket_refresh_s_}) {
    if (!(seconds >= 0.001 && seconds <= 86'400)) return fail(Errc::kInvalid, "periods must be 1 ms to a day");
  }
  options.view_ms = static_cast<std::uint32_t>(view_s_ * 1e3);
  options.chord_stabilize_ms = static_cast<std::uint32_t>(stabilize_s_ * 1e3);
  options.kademlia_refresh_ms = static_cast<std::uint32_t>(bucket_refresh_s_ * 1e3);
  const auto cells = run_lookup(options, progress);
  if (!cells) return std::unexpected(cells.error());
  return lookup_report(options, *cells);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_lookup() { return std::make_unique<SimLookup>(); }

}  // namespace oxbow::mirror

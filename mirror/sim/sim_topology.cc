// `oxbow sim topology`: the command line of p2p/sim/topology.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/topology.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
One server is simple. Shards divide its work, replicas survive failures, a ring makes each client a server too. Every
client asks for one key at a time, all at once (a burst); a server answers a few requests a step.
The question: what does a request cost in messages, bytes and hops, how much work falls on one server as clients are
added, and what is lost when servers of one shard fail together?
  oxbow sim topology                          1 to 100,000 clients; --nodes gives other numbers of clients
  oxbow sim topology --uniform                all keys equally popular
  oxbow sim topology --replicas 8 --servers 24 --fail-servers 96
"ring" is what routing.strategy = "ring" does, with r fixed holders of a key; "readers serve too" what the swarm does.
)";

class SimTopology final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  TopologyOptions options_;
};

CLI::App* SimTopology::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("topology", "One server, shards, replicas or a ring: messages, work, and what fails");
  const auto number = [&](const char* name, auto& value, const char* help) {
    out->add_option(name, value, help)->capture_default_str()->check(CLI::PositiveNumber);
  };
  number("--servers", options_.servers, "Servers of sharded and replicated; a multiple of the replicas");
  number("--replicas", options_.replicas, "Copies of a key");
  number("--keys", options_.keys, "Keys");
  out->add_flag("--uniform", options_.uniform, "All keys alike, not with a popularity of one over the rank");
  number("--work", options_.work, "Requests that a server answers in a step");
  number("--bursts", options_.bursts, "Bursts of a run");
  out->add_option("--fail-servers", options_.failing_servers, "Sizes on which failures are tried; multiples of r")
      ->delimiter(',')
      ->capture_default_str();
  number("--trials", options_.trials, "Failures of a shard in a run");
  out->footer(kExample);
  return out;
}

Result<Report> SimTopology::run(const SimCommon& common, Progress& progress) {
  auto options = options_;
  take_common(common, options, options.clients, {1, 10, 100, 1'000, 10'000});
  const auto result = run_topology(options, progress);
  if (!result) return std::unexpected(result.error());
  return topology_report(options, *result);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_topology() { return std::make_unique<SimTopology>(); }

}  // namespace oxbow::mirror

// `oxbow sim seed`: the command line of p2p/sim/seed.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/sim_part.h"
#include "p2p/sim/seed.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
The protocol: a key has an owner, V·b level-2 peers, and b level-1 peers under each of these, b = N^(1/3) rounded up. A
client asks a level-2 peer, that one a level-1 peer, that one the owner; who passes a stripe on keeps it. With
probability ε a client takes any of the level-1 peers and not a near one, so that hot stripes spread.
The question: what does it gain to choose near peers (arm "locality") over any (arm "uniform")? Both arms see the same
keys, requests and coins. A benefit marked ~0 may as well be nothing: its band holds zero.
  oxbow sim seed                          1,024, 4,096 and 16,384 nodes, 30 seeds; also against the published values
  oxbow sim seed --epsilon-inverse-b      ε as the protocol's text has it, 1/b; its simulator takes 5 to 7 times that
  oxbow sim seed --no-pins                owners and replicas may evict; what is gone is fetched from upstream again
  oxbow sim seed --capacity 8             a store of 8 stripes a node: one that evicts, as the published one never does
  oxbow sim seed --fixes                  a table of what each of the three changes, alone and together
Nothing here knows time, failures or bandwidth: for these see the other simulations.
)";

class SimSeed final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  SeedOptions options_;
  bool first_nearest_ = false;
  bool no_pins_ = false;
  bool fixes_ = false;
};

CLI::App* SimSeed::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("seed", "The seed protocol's own simulator: what near fingers gain, and its flaws");
  const auto number = [&](const char* name, auto& value, const char* help) {
    out->add_option(name, value, help)
        ->capture_default_str()
        ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
        ->type_name("");
  };
  number("--rack-nodes", options_.rack_nodes, "Nodes in a rack");
  number("--row-racks", options_.row_racks, "Racks in a row; the nodes are rounded up to whole rows");
  number("--v", options_.v, "V: a key has V·b level-2 peers");
  number("--replicas", options_.replicas, "Nodes that hold a key from the start, with its owner");
  number("--files", options_.files, "Files that are asked for");
  number("--stripes", options_.stripes, "Stripes of a file; a request pulls all of them");
  number("--alpha", options_.alpha, "Of the Zipf popularity of the files; 0: all alike");
  number("--requests-per-node", options_.requests_per_node, "Requests, over the nodes");
  number("--jitter", options_.jitter, "k in ε = min(1, k·b²·ln b / N)");
  out->add_flag("--first-nearest", first_nearest_, "Take the first of the nearest peers, not any of them");
  out->add_flag("--epsilon-inverse-b", options_.inverse_b, "ε = 1/b");
  out->add_flag("--no-pins", no_pins_, "Owners and replicas keep their keys in their LRU, not for ever");
  number("--capacity", options_.capacity, "Stripes in a node's LRU; 0: max(8, 2·b²), which never evicts");
  out->add_flag("--fixes", fixes_, "Compare: as it is, each flaw put right, all of them");
  out->footer(kExample);
  return out;
}

Result<Report> SimSeed::run(const SimCommon& common, Progress& progress) {
  auto options = options_;
  // The published comparison needs all 30 seeds at 1,024 nodes, which are quick.
  take_common(common, options, options.nodes, {1024, 4096});
  options.tier_sampling = !first_nearest_;
  options.pinned = !no_pins_;
  if (fixes_) {
    const auto fixes = run_seed_fixes(options, progress);
    if (!fixes) return std::unexpected(fixes.error());
    return seed_fixes_report(options, *fixes);
  }
  const auto sizes = run_seed(options, progress);
  if (!sizes) return std::unexpected(sizes.error());
  return seed_report(options, *sizes);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_seed() { return std::make_unique<SimSeed>(); }

}  // namespace oxbow::mirror

// `oxbow sim capacity`: the command line of p2p/sim/capacity_study.h.
#include <CLI/CLI.hpp>

#include "mirror/sim/s3_fifo_policy.h"
#include "mirror/sim/sim_part.h"
#include "p2p/sim/capacity_study.h"

namespace oxbow::mirror {
namespace {

using namespace p2p::sim;

constexpr const char* kExample = R"(
Every node keeps what its own clients pull, under its own budget (10 % of its disk), and nobody places anything. So how
much do all of them together keep? Loads: 2,000 images with Zipf popularity; a 700 GB model, in one file or in 140; both.
"as it is" is what the daemon does. What it might do: never drop the cluster's last copy of anything while something else
can go. What it did before: one large blob after the other, not the lowest ranked span of all of them.
  oxbow sim capacity                            1,000 and 10,000 nodes, and a sweep over the size of the working set
  oxbow sim capacity --nodes 10000 --load model --model-share 1       every node pulls the model
  oxbow sim capacity --nodes 1000 --budget-percent 20 --images 20000
Pulls come one after the other: what is shown is what the caches remember, not how a crowd helps itself. All nodes know
what the others hold; a real node would have to ask a coordinator.
)";

class SimCapacity final : public SimPart {
 public:
  CLI::App* add(CLI::App& sim) override;
  Result<Report> run(const SimCommon& common, Progress& progress) override;

 private:
  CapacityStudy study_;
  std::string load_ = "all";
};

CLI::App* SimCapacity::add(CLI::App& sim) {
  auto* out = sim.add_subcommand("capacity", "Which part of all the nodes' budgets is usable, by popularity");
  auto& base = study_.base;
  const auto number = [&](const char* name, auto& value, const char* help) {
    return out->add_option(name, value, help)->capture_default_str();
  };
  out->add_option("--load", load_, "images, model, both; or all three after each other")
      ->capture_default_str()
      ->check(CLI::IsMember({"images", "model", "both", "all"}));
  number("--disk-bytes", base.disk_bytes, "Of a node")->check(CLI::PositiveNumber);
  number("--budget-percent", base.budget_percent, "Of the disk")->check(CLI::Range(0.01, 100.0));
  number("--images", base.images, "Images, of 64 MiB to 4 GiB")->check(CLI::Range(1U, 1'000'000U));
  number("--alpha", base.alpha, "Of their Zipf popularity; 0: all alike")->check(CLI::Range(0.0, 4.0));
  number("--requests-per-node", base.requests_per_node, "Pulls of images; a third of them is measured")
      ->check(CLI::Range(3U, 100'000U));
  number("--model-bytes", base.model_bytes, "Of the model")->check(CLI::Range(1'000'000UL, 1'600'000'000'000UL));
  out->add_option("--model-files", study_.model_files, "In how many files it comes, e.g. 1,140")
      ->delimiter(',')
      ->check(CLI::Range(1U, 10'000U));
  number("--model-share", base.model_share, "Of the nodes pull the model while the caches fill")
      ->check(CLI::Range(0.0, 1.0));
  number("--sweep-nodes", study_.sweep_nodes, "Nodes of the sweep over the working set; 0: none")
      ->check(CLI::Range(0U, 10'000U));
  out->footer(kExample);
  return out;
}

Result<Report> SimCapacity::run(const SimCommon& common, Progress& progress) {
  auto study = study_;
  take_common(common, study, study.nodes, {200});
  if (common.quick) study.sweep_requests_per_node = 300;
  if (load_ == "images") study.loads = {CapacityLoad::kImages};
  if (load_ == "model") study.loads = {CapacityLoad::kModel};
  if (load_ == "both") study.loads = {CapacityLoad::kBoth};
  const std::vector<NamedPolicy> policies = {
      {"LRU", make_lru}, {"SIEVE", make_sieve}, {"S3-FIFO", make_s3_fifo_policy}};
  const auto arms = run_capacity_study(study, policies, progress);
  if (!arms) return std::unexpected(arms.error());
  return capacity_report(study, *arms);
}

}  // namespace

std::unique_ptr<SimPart> make_sim_capacity() { return std::make_unique<SimCapacity>(); }

}  // namespace oxbow::mirror

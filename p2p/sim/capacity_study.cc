#include "p2p/sim/capacity_study.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kImageMeanBytes = 1.01e9;  ///< of the sizes that capacity.cc draws

const CapacityRule kAsItIs{.name = "as it is"};
const CapacityRule kLastCopy{.name = "last copies protected", .last_copy = true};
const CapacityRule kOneByOne{.name = "one after the other", .pooled = false};
const CapacityRule kByPlace{.name = "spans by place only", .span_order = SpanOrder::kPlace};

struct Planned {
  CapacityArm arm;
  PolicyMaker make;
};

Planned plan(CapacityOptions options, const NamedPolicy& policy, const CapacityRule& rule) {
  options.last_copy = rule.last_copy;
  options.pooled = rule.pooled;
  options.span_order = rule.span_order;
  return {{.options = options, .policy = policy.name, .rule = rule.name}, policy.make};
}

void plan_size(const CapacityStudy& study, const std::vector<NamedPolicy>& policies, std::uint32_t nodes,
               std::vector<Planned>& out) {
  auto options = study.base;
  options.nodes = nodes;
  const auto first = nodes >= study.one_policy_from ? policies.size() - 1 : 0;
  for (const auto load : study.loads) {
    options.load = load;
    const bool models = load != CapacityLoad::kImages;
    for (const auto files : models ? study.model_files : std::vector<std::uint32_t>{1}) {
      options.model_files = files;
      for (auto policy = first; policy < policies.size(); ++policy) {
        out.push_back(plan(options, policies[policy], kAsItIs));
        out.push_back(plan(options, policies[policy], kLastCopy));
      }
      if (models && files == 1) out.push_back(plan(options, policies.back(), kByPlace));
      if (models && files > 1) out.push_back(plan(options, policies.back(), kOneByOne));
    }
  }
}

void plan_sweep(const CapacityStudy& study, const std::vector<NamedPolicy>& policies, std::vector<Planned>& out) {
  if (study.sweep_nodes == 0) return;
  auto options = study.base;
  options.nodes = study.sweep_nodes;
  options.requests_per_node = study.sweep_requests_per_node;
  options.load = CapacityLoad::kImages;
  const double aggregate = static_cast<double>(options.budget_bytes()) * options.nodes;
  for (const double fill : study.sweep_fill) {
    options.images = static_cast<std::uint32_t>(std::max(1.0, std::round(fill * aggregate / kImageMeanBytes)));
    for (const auto& policy : policies) {
      for (const auto& rule : {kAsItIs, kLastCopy}) {
        out.push_back(plan(options, policy, rule));
        out.back().arm.fill = fill;
      }
    }
  }
}

}  // namespace

Result<std::vector<CapacityArm>> run_capacity_study(const CapacityStudy& study,
                                                    const std::vector<NamedPolicy>& policies, Progress& progress) {
  OXBOW_INVARIANT(!policies.empty());
  std::vector<Planned> planned;
  for (const auto nodes : study.nodes) plan_size(study, policies, nodes, planned);
  plan_sweep(study, policies, planned);
  for (auto& one : planned) one.arm.results.resize(study.seeds);
  progress.begin("capacity", planned.size() * study.seeds);
  // The largest first, so that no core waits at the end.
  for_each_run(planned.size() * study.seeds, study.threads, [&](std::size_t run) {
    if (progress.cancelled()) return;
    auto& one = planned[planned.size() - 1 - run / study.seeds];
    const auto seed = run % study.seeds;
    one.arm.results[seed] = run_capacity(one.arm.options, one.make, study.first_seed + seed, &progress);
    progress.add();
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "interrupted");
  std::vector<CapacityArm> out;
  for (auto& one : planned) out.push_back(std::move(one.arm));
  return out;
}

}  // namespace oxbow::p2p::sim

#include "p2p/sim/lookup.h"

#include <algorithm>
#include <bit>
#include <span>

#include "p2p/sim/lookup_scheme.h"

namespace oxbow::p2p::sim {
namespace {

/// What one kind gave in one run.
struct Run {
  double hops = 0;
  double hops_p99 = 0;
  double hops_max = 0;
  double messages = 0;
  double dead = 0;
  double failed = 0;
  double other = 0;
  double ms = 0;
  double ms_p99 = 0;
  double state = 0;
  double upkeep = 0;
};

/// So far back as anything is remembered.
HistoryTime window_of(const LookupOptions& options, std::uint32_t nodes) {
  const auto fingers = std::int64_t{options.chord_stabilize_ms} * std::bit_width(nodes);
  const std::int64_t longest =
      std::max<std::int64_t>({fingers, std::int64_t{options.view_ms}, std::int64_t{options.kademlia_refresh_ms}});
  return static_cast<HistoryTime>(longest) + 1;
}

Run measure(LookupScheme& scheme, const LookupOptions& options, std::uint64_t seed, const Progress& progress) {
  Random keys(seed);
  Random random(seed ^ 0x6c6f'6f6bU);
  Run run;
  std::vector<double> hops;
  std::vector<double> times;
  for (std::uint32_t i = 0; i < options.lookups && !progress.cancelled(); ++i) {
    const auto out = scheme.look_up(keys.next(), random);
    OXBOW_INVARIANT(out.messages >= out.dead && out.messages >= out.hops && !(out.failed && out.other));
    hops.push_back(out.hops);
    times.push_back(out.ms);
    run.hops += out.hops;
    run.messages += out.messages;
    run.dead += out.dead;
    run.failed += out.failed ? 1 : 0;
    run.other += out.other ? 1 : 0;
    run.ms += out.ms;
  }
  for (double* sum : {&run.hops, &run.messages, &run.dead, &run.failed, &run.other, &run.ms}) *sum /= options.lookups;
  run.hops_p99 = quantile(hops, 0.99);
  run.hops_max = quantile(hops, 1);
  run.ms_p99 = quantile(times, 0.99);
  run.state = scheme.state_entries(random);
  run.upkeep = scheme.upkeep(run.messages);
  return run;
}

std::vector<Run> run_one(const LookupOptions& options, std::uint32_t nodes, double leaves, std::uint64_t seed,
                         Progress& progress) {
  const LookupHistory history(nodes, leaves, window_of(options, nodes), seed);
  const auto views = make_ring_views(history, options);
  std::vector<std::unique_ptr<LookupScheme>> schemes;
  schemes.push_back(make_ring_scheme(views, options));
  schemes.push_back(make_fingers_scheme(views, options, seed));
  schemes.push_back(make_chord_scheme(history, options, seed));
  schemes.push_back(make_kademlia_scheme(history, options, seed, true));
  schemes.push_back(make_kademlia_scheme(history, options, seed, false));
  std::vector<Run> runs;
  for (const auto& scheme : schemes) {
    runs.push_back(measure(*scheme, options, seed, progress));
    progress.add();
  }
  return runs;
}

LookupFigures figures_of(std::span<const Run> runs) {
  std::vector<double> values(runs.size());
  const auto band = [&](double Run::* field) {
    std::ranges::transform(runs, values.begin(), [&](const Run& run) { return run.*field; });
    return band_of(values);
  };
  return {band(&Run::hops),   band(&Run::hops_p99), band(&Run::hops_max), band(&Run::messages),
          band(&Run::dead),   band(&Run::failed),   band(&Run::other),    band(&Run::ms),
          band(&Run::ms_p99), band(&Run::state),    band(&Run::upkeep)};
}

Result<> check(const LookupOptions& options) {
  const auto bad = [](const char* what) { return fail(Errc::kInvalid, what); };
  if (options.nodes.empty() || options.leaves.empty()) return bad("sizes and churn rates must be given");
  for (const auto nodes : options.nodes) {
    if (nodes < 3 || nodes > 1'000'000) return bad("nodes must be 3 to 1,000,000");
  }
  for (const auto leaves : options.leaves) {
    if (!(leaves >= 0 && leaves <= 0.5)) return bad("churn must be 0 to 50 % a minute");
  }
  if (options.lookups == 0 || options.seeds == 0) return bad("lookups and seeds must be at least 1");
  if (options.view_ms == 0 || options.chord_stabilize_ms == 0 || options.kademlia_refresh_ms == 0)
    return bad("periods must be longer than nothing");
  if (options.view_ms > 3'600'000 || options.chord_stabilize_ms > 600'000 || options.kademlia_refresh_ms > 7'200'000)
    return bad("periods must be at most 1 h (view), 10 min (Chord) and 2 h (Kademlia)");
  if (options.chord_successors == 0 || options.kademlia_k == 0 || options.kademlia_alpha == 0 || options.replicas == 0)
    return bad("successors, k, alpha and replicas must be at least 1");
  if (options.rack_nodes == 0 || options.row_racks == 0) return bad("racks and rows must not be empty");
  return {};
}

}  // namespace

std::string_view to_string(LookupKind kind) noexcept {
  switch (kind) {
    case LookupKind::kRing:
      return "ring";
    case LookupKind::kFingers:
      return "fingers";
    case LookupKind::kChord:
      return "chord";
    case LookupKind::kKademliaValue:
      return "kademlia_value";
    case LookupKind::kKademliaNode:
      return "kademlia_node";
  }
  return "unknown";
}

Result<std::vector<LookupCell>> run_lookup(const LookupOptions& options, Progress& progress) {
  if (auto checked = check(options); !checked) return std::unexpected(std::move(checked).error());
  const auto kinds = kLookupKinds.size();
  const auto cells = options.nodes.size() * options.leaves.size();
  std::vector<std::vector<Run>> runs(cells * options.seeds);
  progress.begin("look-ups", runs.size() * kinds);
  for_each_run(runs.size(), options.threads, [&](std::size_t i) {
    if (progress.cancelled()) return;
    const auto cell = i / options.seeds;
    runs[i] = run_one(options, options.nodes[cell / options.leaves.size()],
                      options.leaves[cell % options.leaves.size()], options.first_seed + i % options.seeds, progress);
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "cancelled");
  std::vector<LookupCell> out;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      std::vector<Run> of_kind;
      for (std::uint32_t seed = 0; seed < options.seeds; ++seed)
        of_kind.push_back(runs[cell * options.seeds + seed][kind]);
      out.push_back({options.nodes[cell / options.leaves.size()], options.leaves[cell % options.leaves.size()],
                     kLookupKinds[kind], figures_of(of_kind)});
    }
  }
  return out;
}

}  // namespace oxbow::p2p::sim

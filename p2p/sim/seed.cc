#include "p2p/sim/seed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "p2p/sim/seed_arm.h"
#include "p2p/sim/seed_placement.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint64_t kMostNodes = 1'000'000;
constexpr std::uint64_t kMostKeys = 100'000;
constexpr std::uint64_t kMostBits = 4ULL << 30U;  // of one arm's store: 512 MiB

constexpr std::array<std::string_view, kSeedMetrics> kNames{
    "client_hops",     "system_hops",       "congestion_factor",  "cross_rack_share",
    "cross_row_share", "copies_per_stripe", "copies_hot",         "hot_file_share",
    "serve_skew_p99",  "serve_skew_max",    "evictions_per_pull", "origin_fetches_per_stripe"};

Result<> check(const SeedOptions& options) {
  const auto wrong = [](std::string why) { return fail(Errc::kInvalid, std::move(why)); };
  for (const auto value : {options.seeds, options.rack_nodes, options.row_racks, options.v, options.replicas,
                           options.files, options.stripes, options.requests_per_node})
    if (value == 0) return wrong("seeds, racks, rows, V, replicas, files, stripes and requests are at least 1");
  for (const auto value : {options.alpha, options.jitter})
    if (!std::isfinite(value) || value < 0) return wrong("alpha and jitter are not negative");
  if (options.nodes.empty()) return wrong("no cluster size is given");
  const auto keys = std::uint64_t{options.files} * options.stripes;
  if (keys > kMostKeys) return wrong(fmt::format("{} stripes in all; at most {}", keys, kMostKeys));
  for (const auto wanted : options.nodes) {
    if (wanted > kMostNodes || std::uint64_t{options.rack_nodes} * options.row_racks > kMostNodes)
      return wrong(fmt::format("at most {} nodes", kMostNodes));
    const auto shape = shape_of(options, wanted);
    const auto needed = std::uint64_t{options.v} * shape.b * (1 + shape.b) + options.replicas;
    if (needed > shape.nodes)
      return wrong(
          fmt::format("{} nodes are too few: a key needs {} distinct ones (V·b + V·b² fingers with b = {}, and {} "
                      "that own it)",
                      shape.nodes, needed, shape.b, options.replicas));
    if (keys * shape.nodes > kMostBits) return wrong("nodes × stripes is too large");
    if (shape.capacity < keys && std::uint64_t{shape.capacity} * shape.nodes > kMostBits / 32)
      return wrong("nodes × capacity is too large");
  }
  return {};
}

SeedSize banded(const SeedShape& shape, std::span<const SeedRun> runs) {
  SeedSize out{shape, {}, {}, {}};
  for (std::size_t i = 0; i < kSeedMetrics; ++i) {
    std::vector<double> locality, uniform, benefit;
    for (const auto& run : runs) {
      locality.push_back(run.locality[i]);
      uniform.push_back(run.uniform[i]);
      benefit.push_back(run.uniform[i] == 0 ? 0 : (run.uniform[i] - run.locality[i]) / run.uniform[i]);
    }
    out.locality[i] = band_of(locality);
    out.uniform[i] = band_of(uniform);
    out.benefit[i] = band_of(benefit);
  }
  return out;
}

}  // namespace

std::string_view name_of(SeedMetric metric) noexcept { return kNames[static_cast<std::size_t>(metric)]; }

bool less_is_better(SeedMetric metric) noexcept {
  return metric <= SeedMetric::kCrossRowShare || metric == SeedMetric::kServeSkewP99 ||
         metric == SeedMetric::kServeSkewMax;
}

SeedShape shape_of(const SeedOptions& options, std::uint32_t nodes) {
  SeedShape out;
  const auto row = options.rack_nodes * options.row_racks;
  out.nodes = (nodes + row - 1) / row * row;
  out.v = options.v;
  // The cube root in whole numbers: a rounded one may be off by one at the cubes.
  while (std::uint64_t{out.b} * out.b * out.b < out.nodes) ++out.b;
  const double b = out.b;
  out.epsilon = options.inverse_b ? 1 / b : std::min(1.0, options.jitter * b * b * std::log(b) / out.nodes);
  out.capacity = options.capacity != 0 ? options.capacity : std::max(8U, 2 * out.b * out.b);
  return out;
}

SeedRun run_seed_once(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed, Progress& progress) {
  const SeedPlacement placement(options, shape, seed);
  SeedRun out;
  for (const bool locality : {true, false}) {
    SeedArm arm(options, shape, placement, seed, locality);
    arm.run(progress);
    (locality ? out.locality : out.uniform) = arm.figures();
  }
  return out;
}

Result<std::vector<SeedSize>> run_seed(const SeedOptions& options, Progress& progress, const std::string& phase) {
  if (const auto good = check(options); !good) return std::unexpected(good.error());
  std::vector<SeedShape> shapes;
  std::uint64_t pulls = 0;
  for (const auto nodes : options.nodes) {
    shapes.push_back(shape_of(options, nodes));
    pulls += std::uint64_t{2} * options.seeds * shapes.back().nodes * options.requests_per_node * options.stripes;
  }
  progress.begin(phase, pulls);
  std::vector<SeedRun> runs(shapes.size() * options.seeds);
  for_each_run(runs.size(), options.threads, [&](std::size_t i) {
    if (progress.cancelled()) return;
    runs[i] = run_seed_once(options, shapes[i / options.seeds], options.first_seed + i % options.seeds, progress);
  });
  if (progress.cancelled()) return fail(Errc::kCancelled, "interrupted");
  std::vector<SeedSize> out;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    out.push_back(banded(shapes[i], std::span(runs).subspan(i * options.seeds, options.seeds)));
  return out;
}

}  // namespace oxbow::p2p::sim

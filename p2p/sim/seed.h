// The simulator of the seed protocol, by its own rules, so that its claims can be compared number by number; and the
// same with its flaws put right, one option each. Rules: docs/simulation.md. It knows no time, no failures and no
// upstream: hops, copies and load only. Placement and fingers are the seed's own (drawn at random for each key), not
// the daemon's. Thread rule: pure; the runs are spread over threads and the result does not depend on their number.
// Units: copies and capacities in stripes; shares and benefits as fractions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/sim/band.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace oxbow::p2p::sim {

struct SeedOptions {
  std::vector<std::uint32_t> nodes = {1024, 4096, 16384};  ///< each rounded up to whole rows
  std::uint32_t seeds = 30;
  std::uint64_t first_seed = 1;
  unsigned threads = 0;  ///< 0: one a core

  std::uint32_t rack_nodes = 32;
  std::uint32_t row_racks = 16;
  std::uint32_t v = 2;  ///< V: V·b level-2 peers a key
  std::uint32_t replicas = 8;
  std::uint32_t files = 20;
  std::uint32_t stripes = 10;  ///< of each file
  double alpha = 1;            ///< of the Zipf popularity
  std::uint32_t requests_per_node = 1;
  double jitter = 2;          ///< k: ε = min(1, k·b²·ln b / N)
  bool tier_sampling = true;  ///< uniform among the nearest; else the first of them

  // The flaws put right.
  bool inverse_b = false;      ///< ε = 1/b, as the protocol's text says
  bool pinned = true;          ///< owner and replicas hold their keys for ever; else in their LRU, like any other copy
  std::uint32_t capacity = 0;  ///< of a node's LRU; 0: max(8, 2·b²)
};

/// In the order of the report. The last two are not the seed's: they are 0 by its rules.
enum class SeedMetric : std::uint8_t {
  kClientHops,
  kSystemHops,
  kCongestionFactor,
  kCrossRackShare,
  kCrossRowShare,
  kCopiesPerStripe,
  kCopiesHot,
  kHotFileShare,
  kServeSkewP99,
  kServeSkewMax,
  kEvictionsPerPull,
  kOriginFetchesPerStripe,
};
inline constexpr std::size_t kSeedMetrics = 12;
inline constexpr std::size_t kSeedOwnMetrics = 10;

/// "client_hops"
std::string_view name_of(SeedMetric metric) noexcept;
/// Hops, shares and skews, of which less is better; a benefit is only given for these.
bool less_is_better(SeedMetric metric) noexcept;

template <typename T>
struct SeedFigures : std::array<T, kSeedMetrics> {
  T& at(SeedMetric metric) { return (*this)[static_cast<std::size_t>(metric)]; }
  const T& at(SeedMetric metric) const { return (*this)[static_cast<std::size_t>(metric)]; }
};

/// What follows from the options and a size.
struct SeedShape {
  std::uint32_t nodes = 0;  ///< whole rows
  std::uint32_t b = 2;      ///< max(2, ⌈N^(1/3)⌉)
  double epsilon = 0;
  std::uint32_t capacity = 0;
  std::uint32_t level2() const noexcept { return v * b; }
  std::uint32_t v = 0;
};
SeedShape shape_of(const SeedOptions& options, std::uint32_t nodes);

struct SeedSize {
  SeedShape shape;
  SeedFigures<Band> locality, uniform, benefit;
};

/// One for each of `options.nodes`. Errors: kInvalid (what does not fit: the sentence says what), kCancelled.
Result<std::vector<SeedSize>> run_seed(const SeedOptions& options, Progress& progress,
                                       const std::string& phase = "pulls of the seed protocol");
/// One seed, one size; both arms. For tests and whoever wants single runs.
struct SeedRun {
  SeedFigures<double> locality, uniform;
};
SeedRun run_seed_once(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed, Progress& progress);

Report seed_report(const SeedOptions& options, const std::vector<SeedSize>& sizes);

/// The seed's rules with one flaw put right, or all of them.
struct SeedFix {
  std::string name;  ///< "as published" for none
  std::vector<SeedSize> sizes;
};
/// None, each of the three, all: `options` says the rest. An LRU that evicts has `options.capacity` stripes, or 8.
Result<std::vector<SeedFix>> run_seed_fixes(const SeedOptions& options, Progress& progress);
Report seed_fixes_report(const SeedOptions& options, const std::vector<SeedFix>& fixes);

}  // namespace oxbow::p2p::sim

// One arm of one run of the seed protocol's simulator: every pull of every request, and what it costs.
// Thread rule: one thread. Lifetime: `placement` outlives it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "p2p/sim/seed.h"
#include "p2p/sim/seed_placement.h"
#include "p2p/sim/seed_store.h"

namespace oxbow::p2p::sim {

class SeedArm {
 public:
  SeedArm(const SeedOptions& options, const SeedShape& shape, const SeedPlacement& placement, std::uint64_t seed,
          bool locality);

  /// All requests. Returns early when cancelled.
  void run(Progress& progress);
  SeedFigures<double> figures() const;

 private:
  struct Path {
    SeedNode h2, h1;
  };

  void pull(SeedNode client, std::uint32_t key);
  void pull_own(SeedNode owner, std::uint32_t key);
  Path path_of(SeedNode client, std::uint32_t key, bool jitter, std::uint32_t any);
  std::uint32_t choose(SeedNode client, std::span<const SeedNode> candidates, Random& random);
  std::uint32_t nearest(SeedNode client, std::span<const SeedNode> candidates, Random& random);
  SeedNode make_owner_hold(std::uint32_t key);
  void hop(SeedNode from, SeedNode to, std::uint32_t key);

  const SeedOptions& options_;
  const SeedShape& shape_;
  const SeedPlacement& placement_;
  const SeedTopology topology_;
  const std::uint64_t seed_;
  const bool locality_;
  std::vector<double> popularity_;  ///< cumulative, by file
  SeedStore store_;
  Random jitter_;
  std::vector<std::uint8_t> tiers_;  ///< of the candidates of one choice

  std::uint64_t pulls_ = 0;      ///< all
  std::uint64_t hop_pulls_ = 0;  ///< those that left the client
  std::uint64_t client_hops_ = 0, system_hops_ = 0, weights_ = 0, cross_rack_ = 0, cross_row_ = 0;
  std::uint64_t origin_fetches_ = 0;
  std::vector<std::uint32_t> serves_;  ///< by node
};

}  // namespace oxbow::p2p::sim

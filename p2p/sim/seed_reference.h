// What the seed protocol's own simulator reports at 1,024 nodes with 30 seeds and its defaults: what `oxbow sim seed`
// is measured against. Of the uniform arm and of the benefits only means were published, so our bands have to hold
// them. Thread rule: constants.
#pragma once

#include <array>
#include <optional>

#include "p2p/sim/seed.h"

namespace oxbow::p2p::sim {

struct SeedReference {
  SeedMetric metric;
  Band locality;
  double uniform;
  std::optional<double> benefit;
};

inline constexpr std::uint32_t kSeedReferenceNodes = 1024;
inline constexpr std::array<SeedReference, 9> kSeedReference{{
    {SeedMetric::kClientHops, {1.650, 1.636, 1.670}, 1.659, 0.005},
    {SeedMetric::kSystemHops, {2.090, 2.073, 2.109}, 2.140, 0.023},
    {SeedMetric::kCongestionFactor, {3.998, 3.976, 4.018}, 5.909, 0.323},
    {SeedMetric::kCrossRackShare, {0.735, 0.730, 0.739}, 0.970, 0.242},
    {SeedMetric::kCrossRowShare, {0.198, 0.194, 0.202}, 0.500, 0.604},
    {SeedMetric::kCopiesPerStripe, {60.2, 59.3, 61.3}, 62.4, {}},
    {SeedMetric::kCopiesHot, {169.5, 164.1, 175.3}, 183.6, {}},
    {SeedMetric::kServeSkewP99, {4.41, 4.09, 4.85}, 4.34, -0.017},
    {SeedMetric::kServeSkewMax, {6.58, 5.40, 8.76}, 6.46, -0.024},
}};

/// Our mean of the locality arm is inside the published band; our bands hold the published means. True where none was.
struct SeedVerdict {
  bool locality;
  bool uniform;
  bool benefit;
};
SeedVerdict verdict(const SeedReference& reference, const SeedSize& ours) noexcept;
/// The options are those that the published values were made with, but for sizes and the seeds' numbers.
bool is_reference(const SeedOptions& options) noexcept;

}  // namespace oxbow::p2p::sim

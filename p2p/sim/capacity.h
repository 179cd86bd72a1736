// `oxbow sim capacity`: which part of the aggregate budget is usable. Nodes cache what their clients pull, each under
// its own budget and eviction; nobody places anything. Pulls come one after the other: what is asked is what remains
// between them, so that a crowd's help to itself does not hide what the caches have lost.
//
// The model: images of 64 MiB to 4 GiB (their layers as one item) with Zipf popularity, the same for all nodes, pulled
// by random nodes; and a model that a share of the nodes pulls, in one file or in many. Two thirds of the pulls fill
// the caches, the rest is measured. No time, no failures, and all nodes know what the others hold. Thread rule: pure
// functions; `progress` from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "p2p/sim/band.h"
#include "p2p/sim/cache_policy.h"
#include "p2p/sim/capacity_cluster.h"
#include "p2p/sim/report.h"
#include "p2p/sim/runs.h"

namespace oxbow::p2p::sim {

enum class CapacityLoad : std::uint8_t { kImages, kModel, kBoth };
std::string_view to_string(CapacityLoad load) noexcept;

struct CapacityOptions {
  std::uint32_t nodes = 1'000;
  std::uint64_t disk_bytes = 1'000'000'000'000;
  double budget_percent = 10;
  std::uint32_t images = 2'000;
  double alpha = 1;
  std::uint32_t requests_per_node = 300;  ///< of images
  std::uint64_t model_bytes = 700'000'000'000;
  std::uint32_t model_files = 1;
  double model_share = 0.1;        ///< of the nodes pull it while the caches fill,
  std::uint32_t model_pulls = 20;  ///< and so many nodes afterwards, measured
  CapacityLoad load = CapacityLoad::kBoth;
  SpanOrder span_order = SpanOrder::kRank;
  bool last_copy = false;
  bool pooled = true;

  std::uint64_t budget_bytes() const noexcept;
};

/// One class of popularity, or the model.
struct CapacityClass {
  std::string name;
  std::uint64_t bytes = 0;       ///< of its items
  std::uint64_t kept_bytes = 0;  ///< of them with a copy at the end
  double asked_bytes = 0;        ///< measured
  double local_bytes = 0;
  double peer_bytes = 0;
  double upstream_bytes = 0;
  double first_bytes = 0;  ///< of them, what nobody had asked for before
  std::uint32_t copies_min = 0;
  std::uint32_t copies_max = 0;
  double copies_mean = 0;  ///< by bytes
};

struct CapacityResult {
  std::vector<CapacityClass> classes;
  std::uint64_t aggregate_bytes = 0;  ///< all budgets
  std::uint64_t stored_bytes = 0;
  std::uint64_t working_bytes = 0;  ///< of all items
  std::uint64_t kept_bytes = 0;     ///< of them with a copy

  double asked_bytes() const;
  double upstream_bytes() const;
  /// Of what was asked for and had been before, what came from the own node or a peer.
  double hit_share() const;
  double local_share() const;
  /// Of what could be kept (the working set, or the budgets together where they are smaller), what was.
  double usable_share() const;
};

CapacityResult run_capacity(const CapacityOptions& options, const PolicyMaker& policy, std::uint64_t seed,
                            Progress* progress = nullptr);

}  // namespace oxbow::p2p::sim

#include "p2p/sim/capacity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "p2p/sim/popularity.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint64_t kImageMinBytes = 64ULL << 20U;
constexpr int kImageDoublings = 6;

/// Popularity classes: the share of the images, from the hottest, at which each ends.
struct ClassEnd {
  const char* name;
  double until;
};
constexpr std::array kClasses{ClassEnd{"hottest 1 %", 0.01}, ClassEnd{"next 9 %", 0.10}, ClassEnd{"next 40 %", 0.50},
                              ClassEnd{"coldest 50 %", 1.0}};
constexpr std::size_t kModelClass = kClasses.size();

/// Uniform between the powers of two, which are equally likely: a median of half a gigabyte, as images have.
std::uint64_t image_bytes(Random& random) {
  const auto base = kImageMinBytes << random.below(kImageDoublings);
  return base + (base >> 16U) * random.below(1U << 16U);
}

class CapacityRun {
 public:
  CapacityRun(const CapacityOptions& options, const PolicyMaker& policy, std::uint64_t seed)
      : options_(options),
        random_(seed),
        items_(make_items()),
        popularity_(std::max(options.images, 1U), options.alpha),
        cluster_({.nodes = options.nodes,
                  .budget_bytes = options.budget_bytes(),
                  .policy = policy,
                  .last_copy = options.last_copy,
                  .span_order = options.span_order,
                  .pooled = options.pooled},
                 items_),
        asked_(items_.size()) {
    for (std::size_t i = 0; i < kClasses.size(); ++i) {
      if (images() > 0) result_.classes.push_back({.name = kClasses[i].name});
    }
    if (models()) result_.classes.push_back({.name = "the model"});
  }

  CapacityResult run(Progress* progress);

 private:
  bool models() const { return options_.load != CapacityLoad::kImages; }
  std::uint32_t images() const { return options_.load == CapacityLoad::kModel ? 0 : options_.images; }
  std::vector<CacheItem> make_items();
  std::size_t class_of(ItemId item) const;
  void pull_image(bool measured);
  void pull_model(std::uint32_t node, bool measured);
  void pull(std::uint32_t node, ItemId item, bool measured);
  void sum_up();

  const CapacityOptions& options_;
  Random random_;
  const std::vector<CacheItem> items_;  ///< the images, hottest first; then the files of the model
  const Popularity popularity_;
  CacheCluster cluster_;
  std::vector<bool> asked_;
  CapacityResult result_;
};

std::vector<CacheItem> CapacityRun::make_items() {
  std::vector<CacheItem> items(images());
  for (auto& item : items) item.bytes = image_bytes(random_);
  if (models()) items.insert(items.end(), options_.model_files, {options_.model_bytes / options_.model_files});
  return items;
}

std::size_t CapacityRun::class_of(ItemId item) const {
  if (item >= images()) return images() == 0 ? 0 : kModelClass;
  std::size_t place = 0;
  while (item >= kClasses[place].until * images() && place + 1 < kClasses.size()) ++place;
  return place;
}

void CapacityRun::pull(std::uint32_t node, ItemId item, bool measured) {
  const auto served = cluster_.request(node, item);
  OXBOW_INVARIANT(served.local_bytes + served.peer_bytes + served.upstream_bytes == items_[item].bytes);
  const bool first = !asked_[item];
  asked_[item] = true;
  if (!measured) return;
  auto& one = result_.classes[class_of(item)];
  one.asked_bytes += static_cast<double>(items_[item].bytes);
  one.local_bytes += static_cast<double>(served.local_bytes);
  one.peer_bytes += static_cast<double>(served.peer_bytes);
  one.upstream_bytes += static_cast<double>(served.upstream_bytes);
  if (first) one.first_bytes += static_cast<double>(served.upstream_bytes);
}

void CapacityRun::pull_image(bool measured) {
  const auto node = random_.below(options_.nodes);
  pull(node, popularity_.draw(random_), measured);
}

/// File after file, as a loader reads them.
void CapacityRun::pull_model(std::uint32_t node, bool measured) {
  for (ItemId item = images(); item < items_.size(); ++item) pull(node, item, measured);
}

CapacityResult CapacityRun::run(Progress* progress) {
  const std::uint64_t requests = images() == 0 ? 0 : std::uint64_t{options_.nodes} * options_.requests_per_node;
  std::vector<std::uint32_t> pullers(options_.nodes);
  std::iota(pullers.begin(), pullers.end(), 0U);
  for (auto i = options_.nodes; i > 1; --i) std::swap(pullers[i - 1], pullers[random_.below(i)]);
  const auto filling = models() ? static_cast<std::uint32_t>(std::lround(options_.model_share * options_.nodes)) : 0U;
  const auto measured = models() ? options_.model_pulls : 0U;

  // The model's pulls are spread evenly between those of images.
  const auto phase = [&](std::uint64_t of_images, std::uint32_t of_model, bool counts, auto next_node) {
    std::uint64_t done = 0;
    for (std::uint32_t pull = 0; pull < of_model; ++pull) {
      for (; done < of_images * (pull + 1) / (of_model + 1); ++done) pull_image(counts);
      pull_model(next_node(pull), counts);
      if (progress != nullptr && progress->cancelled()) return;
    }
    for (; done < of_images; ++done) {
      pull_image(counts);
      if (progress != nullptr && (done & 0xfffU) == 0 && progress->cancelled()) return;
    }
  };
  phase(requests * 2 / 3, filling, false, [&](std::uint32_t pull) { return pullers[pull]; });
  phase(requests - requests * 2 / 3, measured, true, [&](std::uint32_t) { return random_.below(options_.nodes); });
  cluster_.check();
  sum_up();
  return std::move(result_);
}

void CapacityRun::sum_up() {
  result_.aggregate_bytes = options_.budget_bytes() * options_.nodes;
  result_.stored_bytes = cluster_.stored_bytes();
  for (auto& one : result_.classes) one.copies_min = std::numeric_limits<std::uint32_t>::max();
  for (ItemId item = 0; item < items_.size(); ++item) {
    const auto copies = cluster_.copies(item);
    auto& one = result_.classes[class_of(item)];
    one.bytes += items_[item].bytes;
    one.kept_bytes += copies.kept_bytes;
    one.copies_min = std::min(one.copies_min, copies.min);
    one.copies_max = std::max(one.copies_max, copies.max);
    one.copies_mean += copies.mean * static_cast<double>(items_[item].bytes);
  }
  for (auto& one : result_.classes) {
    if (one.bytes > 0) one.copies_mean /= static_cast<double>(one.bytes);
    if (one.bytes == 0) one.copies_min = 0;
    result_.working_bytes += one.bytes;
    result_.kept_bytes += one.kept_bytes;
  }
}

}  // namespace

std::string_view to_string(CapacityLoad load) noexcept {
  switch (load) {
    case CapacityLoad::kImages:
      return "images";
    case CapacityLoad::kModel:
      return "model";
    case CapacityLoad::kBoth:
      return "both";
  }
  return "unknown";
}

std::uint64_t CapacityOptions::budget_bytes() const noexcept {
  return static_cast<std::uint64_t>(static_cast<double>(disk_bytes) * budget_percent / 100);
}

namespace {

double sum_of(const std::vector<CapacityClass>& classes, double CapacityClass::* what) {
  double sum = 0;
  for (const auto& one : classes) sum += one.*what;
  return sum;
}

}  // namespace

double CapacityResult::asked_bytes() const { return sum_of(classes, &CapacityClass::asked_bytes); }
double CapacityResult::upstream_bytes() const { return sum_of(classes, &CapacityClass::upstream_bytes); }

double CapacityResult::hit_share() const {
  const auto first = sum_of(classes, &CapacityClass::first_bytes);
  const auto asked = asked_bytes() - first;
  return asked > 0 ? 1 - (upstream_bytes() - first) / asked : 1;
}

double CapacityResult::local_share() const {
  const auto asked = asked_bytes();
  return asked > 0 ? sum_of(classes, &CapacityClass::local_bytes) / asked : 0;
}

double CapacityResult::usable_share() const {
  return static_cast<double>(kept_bytes) / static_cast<double>(std::min(working_bytes, aggregate_bytes));
}

CapacityResult run_capacity(const CapacityOptions& options, const PolicyMaker& policy, std::uint64_t seed,
                            Progress* progress) {
  OXBOW_INVARIANT(options.nodes > 0 && options.model_files > 0);
  return CapacityRun(options, policy, seed).run(progress);
}

}  // namespace oxbow::p2p::sim

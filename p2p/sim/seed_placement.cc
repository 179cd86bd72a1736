#include "p2p/sim/seed_placement.h"

#include <algorithm>

namespace oxbow::p2p::sim {

Random stream_of(std::uint64_t seed, SeedStream purpose, std::uint64_t index) noexcept {
  Random mixed(seed);
  Random by_purpose(mixed.next() ^ static_cast<std::uint64_t>(purpose));
  return Random(by_purpose.next() ^ index);
}

/// The nodes that a key has used: distinct draws from the rest by rejection, which is the same distribution as a
/// shuffle and touches only what is drawn.
class SeedPlacement::Taken {
 public:
  explicit Taken(std::uint32_t nodes) : used_by_(nodes, 0) {}

  void begin_key() { ++round_; }
  bool has(SeedNode node) const { return used_by_[node] == round_; }
  void add(SeedNode node) { used_by_[node] = round_; }
  void remove(SeedNode node) { used_by_[node] = 0; }
  SeedNode draw(Random& random) {
    while (true) {
      const auto node = random.below(static_cast<std::uint32_t>(used_by_.size()));
      if (has(node)) continue;
      add(node);
      return node;
    }
  }

 private:
  std::vector<std::uint32_t> used_by_;
  std::uint32_t round_ = 0;
};

SeedPlacement::SeedPlacement(const SeedOptions& options, const SeedShape& shape, std::uint64_t seed)
    : level2_(shape.level2()), b_(shape.b), copies_(options.replicas - 1) {
  const auto keys = options.files * options.stripes;
  owners_.reserve(keys);
  fingers_.reserve(std::size_t{keys} * level2_ * (1 + b_));
  near_.reserve(std::size_t{keys} * copies_);
  far_.reserve(std::size_t{keys} * copies_);
  Taken taken(shape.nodes);
  const SeedTopology topology(options.rack_nodes, options.row_racks);
  for (std::uint32_t key = 0; key < keys; ++key) {
    taken.begin_key();
    auto random = stream_of(seed, SeedStream::kPlacement, key);
    owners_.push_back(taken.draw(random));
    for (std::uint32_t i = 0; i < level2_ * (1 + b_); ++i) fingers_.push_back(taken.draw(random));
    auto far = stream_of(seed, SeedStream::kFarReplicas, key);
    for (std::uint32_t i = 0; i < copies_; ++i) far_.push_back(taken.draw(far));
    // The two arms are two worlds: what one has drawn is free in the other.
    for (std::uint32_t i = 0; i < copies_; ++i) taken.remove(far_[far_.size() - 1 - i]);
    draw_near(topology, shape.nodes, taken, owners_.back(), stream_of(seed, SeedStream::kNearReplicas, key));
  }
}

/// At random among what is free in the owner's rack, then in its row, then anywhere.
void SeedPlacement::draw_near(const SeedTopology& topology, std::uint32_t nodes, Taken& taken, SeedNode owner,
                              Random random) {
  const struct {
    SeedNode begin;
    std::uint32_t count;
  } areas[] = {{topology.rack_begin(owner), topology.rack_nodes()},
               {topology.row_begin(owner), topology.row_nodes()},
               {0, nodes}};
  std::uint32_t wanted = copies_;
  std::vector<SeedNode> free;
  for (const auto& area : areas) {
    if (wanted == 0) return;
    free.clear();
    for (auto node = area.begin; node < area.begin + area.count; ++node)
      if (!taken.has(node)) free.push_back(node);
    for (; wanted > 0 && !free.empty(); --wanted) {
      const auto at = random.below(static_cast<std::uint32_t>(free.size()));
      taken.add(free[at]);
      near_.push_back(free[at]);
      free[at] = free.back();
      free.pop_back();
    }
  }
}

std::span<const SeedNode> SeedPlacement::level2(std::uint32_t key) const noexcept {
  return {fingers_.data() + std::size_t{key} * level2_ * (1 + b_), level2_};
}

std::span<const SeedNode> SeedPlacement::level1(std::uint32_t key, std::uint32_t index) const noexcept {
  return {fingers_.data() + std::size_t{key} * level2_ * (1 + b_) + level2_ + std::size_t{index} * b_, b_};
}

}  // namespace oxbow::p2p::sim

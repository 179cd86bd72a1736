#include "p2p/sim/churn_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr Ms kViewEveryMin = 1'000;
constexpr double kMinuteMs = 60'000;

}  // namespace

ChurnWorld::ChurnWorld(const ChurnOptions& options, Ms start, Ms end, Random& random)
    : options_(options),
      lives_(options.nodes),
      view_every_(std::max<Ms>(kViewEveryMin, static_cast<Ms>(options.stale_ms) / kAges)) {
  for (NodeId node = 0; node < options.nodes; ++node) lives_[node].rack = node / options.rack_nodes;
  const Ms measured = end - options.measured_ms;
  switch (options.scenario) {
    case ChurnScenario::kSteady:
      plan_steady(start, end, random);
      break;
    case ChurnScenario::kRack:
      plan_rack(measured, random);
      break;
    case ChurnScenario::kRolling:
      plan_rolling(measured, random);
      break;
  }
}

/// One after the other in equal times, each at a random point of its own: as many as the rate says in every run.
void ChurnWorld::plan_steady(Ms start, Ms end, Random& random) {
  const double every = kMinuteMs / (options_.rate * options_.nodes);
  std::vector<NodeId> living(options_.nodes);
  std::iota(living.begin(), living.end(), 0U);
  for (double slot = static_cast<double>(start); slot < static_cast<double>(end); slot += every) {
    const auto when = static_cast<Ms>(slot + every * random.uniform());
    auto& victim = living[random.below(options_.nodes)];
    lives_[victim].dies = when;
    victim = static_cast<NodeId>(lives_.size());
    const auto racks = (options_.nodes + options_.rack_nodes - 1) / options_.rack_nodes;
    lives_.push_back({.born = when, .rack = random.below(racks)});
  }
}

void ChurnWorld::plan_rack(Ms when, Random& random) {
  const auto rack = random.below(std::max(1U, options_.nodes / options_.rack_nodes));
  for (auto& life : lives_) {
    if (life.rack == rack) life.dies = when;
  }
}

void ChurnWorld::plan_rolling(Ms start, Random& random) {
  std::vector<NodeId> order(options_.nodes);
  std::iota(order.begin(), order.end(), 0U);
  for (auto i = options_.nodes; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  const auto batch = std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(options_.batch * options_.nodes)));
  for (std::size_t i = 0; i < order.size(); ++i) {
    auto& life = lives_[order[i]];
    life.down_from = start + static_cast<Ms>(i / batch) * options_.down_ms;
    life.down_until = life.down_from + options_.down_ms;
  }
}

std::vector<std::string> ChurnWorld::location(NodeId node) const {
  const auto rack = lives_[node].rack;
  return {fmt::format("row-{}", rack / options_.row_racks), fmt::format("rack-{}", rack)};
}

std::uint32_t ChurnWorld::near(NodeId a, NodeId b) const noexcept {
  const auto one = lives_[a].rack;
  const auto other = lives_[b].rack;
  return one == other ? 2 : one / options_.row_racks == other / options_.row_racks ? 1 : 0;
}

/// Whoever restarts stays a member.
std::shared_ptr<const View> ChurnWorld::publish(Ms when, const std::shared_ptr<const View>& before) const {
  const bool same = before != nullptr && std::ranges::none_of(lives_, [&](const Life& life) {
                      return life.exists(when) != life.exists(before->published);
                    });
  if (same) return before;
  std::vector<Peer> peers;
  peers.reserve(lives_.size());
  for (NodeId node = 0; node < lives_.size(); ++node) {
    if (!lives_[node].exists(when)) continue;
    Peer peer;
    peer.id = node + 1;
    peer.member.name = fmt::format("node-{:07}", node);
    peer.member.location = location(node);
    peer.vetted = true;
    peers.push_back(std::move(peer));
  }
  auto view = std::make_shared<View>();
  view->published = when;
  view->peers = std::make_shared<const PeerSnapshot>(std::move(peers), static_cast<std::uint64_t>(when) + 1);
  return view;
}

std::shared_ptr<const View> ChurnWorld::view(std::uint32_t age, Ms now) {
  // Half to one and a half times the mean, with the time that a view stands.
  const std::int64_t behind = options_.stale_ms == 0 ? 0 : kAges / 2 + age;
  const auto number = std::max<std::int64_t>(0, now / view_every_ - behind);
  const auto found = std::ranges::find(published_, number, [](const auto& one) { return one.first; });
  if (found != published_.end()) return found->second;
  const auto before = std::ranges::find(published_, number - 1, [](const auto& one) { return one.first; });
  auto made = publish(number * view_every_, before == published_.end() ? nullptr : before->second);
  std::erase_if(published_, [&](const auto& one) { return one.first < number - 1 - 2 * kAges; });
  published_.emplace_back(number, made);
  return made;
}

}  // namespace oxbow::p2p::sim

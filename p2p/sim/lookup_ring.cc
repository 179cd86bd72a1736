#include "p2p/sim/lookup_ring.h"

#include <algorithm>
#include <string>

#include "p2p/prober.h"

namespace oxbow::p2p::sim {
namespace {

constexpr int kViews = 4;
constexpr double kMinuteMs = 60'000;

RingViews::View view_at(const LookupHistory& history, HistoryTime at) {
  RingViews::View view;
  view.at = at;
  view.nodes = history.members(at);
  view.peers.reserve(view.nodes.size());
  for (std::uint32_t i = 0; i < view.nodes.size(); ++i) {
    auto& peer = view.peers.emplace_back();
    peer.id = i + 1;
    peer.vetted = true;
    peer.member.name = "n" + std::to_string(view.nodes[i]);
  }
  view.index = std::make_shared<PeerIndex>(view.peers);
  return view;
}

/// One request to the owner; while nobody answers, to the next on the ring.
class RingScheme final : public LookupScheme {
 public:
  RingScheme(std::shared_ptr<const RingViews> views, const LookupOptions& options)
      : views_(std::move(views)), options_(options) {}

  LookupOutcome look_up(std::uint64_t key, Random& random) override {
    LookupOutcome out;
    out.failed = true;
    const auto& view = views_->any_view(random);
    const auto client = views_->any_client(view, random);
    for (const auto member : view.index->ring().walk(key, options_.replicas, [](std::uint32_t) { return true; })) {
      const auto node = view.nodes[member];
      if (node != client) ++out.messages;
      if (!views_->lives(node)) {
        ++out.dead;
        out.ms += options_.timeout_ms;
        continue;
      }
      if (node != client) {
        ++out.hops;
        out.ms += options_.round_trip_ms;
      }
      out.failed = false;
      out.other = node != views_->owner(key);
      break;
    }
    return out;
  }

  double state_entries(Random&) const override { return views_->history.size(); }
  double upkeep(double) const override { return views_->upkeep(options_); }

 private:
  std::shared_ptr<const RingViews> views_;
  const LookupOptions& options_;
};

}  // namespace

std::uint32_t RingViews::any_client(const View& view, Random& random) const {
  for (;;) {
    const auto node = view.nodes[random.below(static_cast<std::uint32_t>(view.nodes.size()))];
    if (lives(node)) return node;
  }
}

/// A view each interval, and the hellos that the daemon's prober says at most; who was heard of is not asked.
double RingViews::upkeep(const LookupOptions& options) const {
  const ProberOptions prober;
  const auto targets = std::min<std::size_t>(history.size() - 1, prober.probes_per_round);
  return kMinuteMs / options.view_ms +
         static_cast<double>(targets) * kMinuteMs / static_cast<double>(prober.interval.count());
}

std::shared_ptr<const RingViews> make_ring_views(const LookupHistory& history, const LookupOptions& options) {
  auto views = std::make_shared<RingViews>(history);
  views->fresh = view_at(history, 0);
  const bool changes = history.nodes().size() > history.size();
  for (int i = 0; i < (changes ? kViews : 1); ++i) {
    const auto age = changes ? std::int64_t{options.view_ms} * (2 * i + 1) / (2 * kViews) : 0;
    views->stale.push_back(view_at(history, static_cast<HistoryTime>(-age)));
  }
  return views;
}

std::unique_ptr<LookupScheme> make_ring_scheme(std::shared_ptr<const RingViews> views, const LookupOptions& options) {
  return std::make_unique<RingScheme>(std::move(views), options);
}

}  // namespace oxbow::p2p::sim

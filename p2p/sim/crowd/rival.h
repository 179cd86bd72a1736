// Rivals and topologies that live in the simulator only: strategies like the daemon's, by their published rules, that
// may know more than a node can (what a central scheduler or a tracker knows). One more is a class here and a name in
// policies.cc.
// Thread rule and lifetime: as `Strategy`.
#pragma once

#include <memory>
#include <vector>

#include "p2p/random.h"
#include "p2p/running_fetches.h"
#include "p2p/sim/crowd.h"
#include "p2p/strategy.h"
#include "p2p/swarm_window.h"

namespace oxbow::p2p::sim {

/// What rivals may know of all nodes: the engine.
class CrowdWorld {
 public:
  virtual ~CrowdWorld() = default;
  virtual std::uint32_t nodes() const = 0;
  virtual std::uint32_t rack_nodes() const = 0;
  virtual std::uint32_t row_nodes() const = 0;
  virtual bool has(std::uint32_t node, std::uint32_t stripe) const = 0;
  virtual std::uint32_t uploading(std::uint32_t node) const = 0;
  virtual bool alive(std::uint32_t node) const = 0;
  virtual const std::vector<std::uint32_t>& started() const = 0;    ///< nodes that wanted the blob, in order
  virtual const std::vector<std::uint32_t>& completed() const = 0;  ///< nodes that have all of it, in order
};

/// A request for a stripe that the asked node does not have waits there, and makes that node want it.
bool waits_at_source(CrowdPolicy policy) noexcept;
/// Uploads of a node at a time, where the rules say so; 0: they do not.
std::uint32_t slots_of(CrowdPolicy policy) noexcept;
/// Null: not a rival.
std::unique_ptr<Strategy> make_rival(CrowdPolicy policy, StrategyContext context, std::uint32_t self,
                                     const CrowdWorld& world);

/// What they have in common: a window, fetches under way, room, and a look every now and then.
class Rival : public Strategy {
 public:
  /// `patience`: a fetch that stands still for so long is given up.
  Rival(StrategyContext context, std::uint32_t self, const CrowdWorld& world, std::uint32_t fetches,
        std::chrono::milliseconds patience = std::chrono::milliseconds(1'000));

  std::vector<Action> on_event(Time now, const Event& event) override;
  void on_events(Time now, std::span<const Event> events, std::vector<Action>& actions) override;
  bool waits_for_news() const noexcept override { return false; }

 protected:
  struct Choice {
    std::uint32_t stripe = 0;
    SourceId source = kUpstream;
  };
  /// The next fetch to begin; nothing: none for now.
  virtual std::optional<Choice> choose() = 0;
  virtual void failed(SourceId source, Errc why);

  std::optional<std::uint32_t> first_open() const { return window_.first_open(); }
  std::uint32_t running_from(SourceId source) const;
  bool resting(SourceId source) const;
  static SourceId peer(std::uint32_t node) noexcept { return node + 1; }

  const StrategyContext context_;
  const std::uint32_t self_;
  const CrowdWorld& world_;
  Random random_;
  Time now_{0};
  SwarmWindow window_;
  RunningFetches<RunningFetch> running_;

 private:
  void take(const Event& event, std::vector<Action>& actions);
  void decide(std::vector<Action>& actions);

  const std::uint32_t fetches_;
  const std::chrono::milliseconds patience_;
  std::vector<std::pair<SourceId, Time>> resting_;  ///< refused lately: not asked before
  std::uint32_t upstream_free_ = 0;
  FetchId next_id_ = 1;
  bool reading_ = false;
};

}  // namespace oxbow::p2p::sim

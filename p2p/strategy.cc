#include "p2p/strategy.h"

#include "p2p/fingers.h"
#include "p2p/single.h"
#include "p2p/swarm.h"

namespace oxbow::p2p {

void Strategy::on_events(Time now, std::span<const Event> events, std::vector<Action>& actions) {
  for (const auto& event : events) {
    auto more = on_event(now, event);
    actions.insert(actions.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
}

std::string_view to_string(StrategyKind kind) noexcept {
  switch (kind) {
    case StrategyKind::kSwarm:
      return "swarm";
    case StrategyKind::kRing:
      return "ring";
    case StrategyKind::kFingers:
      return "fingers";
    case StrategyKind::kSingle:
      return "single";
  }
  return "unknown";
}

std::unique_ptr<Strategy> make_strategy(StrategyKind kind, StrategyContext context) {
  SwarmOptions options;
  switch (kind) {
    case StrategyKind::kSingle:
      return std::make_unique<Single>(context.geometry);
    case StrategyKind::kRing:
      options.ranked_only = true;
      return std::make_unique<Swarm>(std::move(context), options);
    case StrategyKind::kSwarm:
      return std::make_unique<Swarm>(std::move(context), options);
    case StrategyKind::kFingers:
      return std::make_unique<Fingers>(std::move(context));
  }
  return nullptr;
}

}  // namespace oxbow::p2p

#include "p2p/strategy.h"

#include "p2p/single.h"
#include "p2p/swarm.h"

namespace oxbow::p2p {

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

}  // namespace oxbow::p2p

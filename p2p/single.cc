#include "p2p/single.h"

namespace oxbow::p2p {

bool Single::assigned(std::uint32_t stripe) const {
  for (const auto& [id, stripes] : running_) {
    if (stripe >= stripes.begin && stripe < stripes.end) return true;
  }
  return false;
}

StripeRange Single::next_assignment() const {
  for (const auto& range : wanted_) {
    for (std::uint32_t stripe = range.begin; stripe < range.end; ++stripe) {
      if (assigned(stripe)) continue;
      StripeRange found{stripe, stripe + 1};
      // A span is the unit of upstream requests: one request covers what is wanted of it, and never crosses its end.
      while (found.end < range.end && Geometry::span_of(found.end) == Geometry::span_of(stripe) &&
             !assigned(found.end)) {
        ++found.end;
      }
      return found;
    }
  }
  return {};
}

std::vector<Action> Single::on_event(Time, const Event& event) {
  std::vector<Action> actions;
  if (const auto* window = std::get_if<WindowChanged>(&event)) {
    wanted_ = window->wanted;
    if (!window->has_readers) {
      for (const auto& [id, stripes] : running_) actions.emplace_back(CancelFetch{id});
    }
  } else if (const auto* ended = std::get_if<FetchEnded>(&event)) {
    running_.erase(ended->fetch);
  } else if (const auto* free = std::get_if<SlotsFree>(&event); free != nullptr && free->source == kUpstream) {
    for (std::uint32_t slot = 0; slot < free->slots; ++slot) {
      const StripeRange stripes = next_assignment();
      if (stripes.count() == 0) break;
      const FetchId id = next_id_++;
      running_.emplace(id, stripes);
      actions.emplace_back(Fetch{id, kUpstream, stripes});
    }
  }
  return actions;
}

}  // namespace oxbow::p2p

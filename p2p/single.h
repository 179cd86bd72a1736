// The strategy without peers: every wanted stripe comes from upstream, span by span, in the order the readers want.
// Thread rule and lifetime: as `Strategy`.
#pragma once

#include <map>
#include <vector>

#include "p2p/strategy.h"

namespace oxbow::p2p {

class Single final : public Strategy {
 public:
  explicit Single(Geometry geometry) : geometry_(geometry) {}

  std::vector<Action> on_event(Time now, const Event& event) override;

 private:
  /// The first wanted stripes that nobody fetches: contiguous, inside one span. Empty when all are assigned.
  StripeRange next_assignment() const;
  bool assigned(std::uint32_t stripe) const;

  Geometry geometry_;
  std::vector<StripeRange> wanted_;
  std::map<FetchId, StripeRange> running_;
  FetchId next_id_ = 1;
};

}  // namespace oxbow::p2p

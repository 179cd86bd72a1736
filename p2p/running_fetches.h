// The fetches that a strategy has under way, a dozen or so, with the pairs that hedges make of them.
// Thread rule and lifetime: owned by its strategy.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "p2p/strategy.h"

namespace oxbow::p2p {

/// What every strategy knows of one; they add what they need.
struct RunningFetch {
  FetchId id = 0;
  SourceId source = kUpstream;
  StripeRange stripes;
  FetchId hedge_of = 0;
  FetchId hedged_by = 0;
  bool cancelled = false;
  Time started{0};
  std::uint64_t bytes = 0;
};

template <typename Running>
class RunningFetches {
 public:
  auto begin() noexcept { return all_.begin(); }
  auto end() noexcept { return all_.end(); }
  auto begin() const noexcept { return all_.begin(); }
  auto end() const noexcept { return all_.end(); }
  std::size_t size() const noexcept { return all_.size(); }
  bool empty() const noexcept { return all_.empty(); }

  /// Null for 0 and for what has ended. Valid until the next `add` or `take`.
  Running* find(FetchId id) noexcept {
    const auto found = std::ranges::find(all_, id, &Running::id);
    return id == 0 || found == all_.end() ? nullptr : &*found;
  }
  void add(Running fetch) {
    if (auto* late = find(fetch.hedge_of)) late->hedged_by = fetch.id;
    all_.push_back(std::move(fetch));
  }
  struct Ended {
    Running fetch;
    bool covered = false;  ///< the other side of a hedge goes on with its stripes
  };
  /// One that has ended, and its pair parted. Nothing: it is not known.
  std::optional<Ended> take(FetchId id) {
    auto* found = find(id);
    if (found == nullptr) return std::nullopt;
    Ended ended{std::move(*found)};
    all_.erase(all_.begin() + (found - all_.data()));
    auto* hedge = find(ended.fetch.hedged_by);
    auto* late = find(ended.fetch.hedge_of);
    if (hedge != nullptr) hedge->hedge_of = 0;
    if (late != nullptr) late->hedged_by = 0;
    ended.covered = hedge != nullptr || late != nullptr;
    return ended;
  }

 private:
  std::vector<Running> all_;
};

}  // namespace oxbow::p2p

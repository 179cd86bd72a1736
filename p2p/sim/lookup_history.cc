#include "p2p/sim/lookup_history.h"

#include <algorithm>

#include "core/error.h"
#include "p2p/sim/exponential.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kMinuteMs = 60'000;

}  // namespace

LookupHistory::LookupHistory(std::uint32_t size, double leaves, HistoryTime window, std::uint64_t seed) : size_(size) {
  OXBOW_INVARIANT(size > 0 && window >= 0 && leaves >= 0);
  Random ids(seed);
  Random events(seed ^ 0x6368'7572'6eU);
  std::vector<std::uint32_t> here(size);  // by place
  for (std::uint32_t place = 0; place < size; ++place) {
    here[place] = place;
    nodes_.push_back({ids.next(), kAlways, kNever, place});
  }
  const double rate = leaves * size / kMinuteMs;
  for (double at = -window; rate > 0;) {
    at += exponential(events) / rate;
    if (at >= 0) break;
    const auto place = events.below(size);
    const auto time = static_cast<HistoryTime>(at);
    nodes_[here[place]].left = time;
    here[place] = static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({ids.next(), time, kNever, place});
  }
  std::ranges::sort(nodes_, {}, &Node::id);
}

std::vector<std::uint32_t> LookupHistory::members(HistoryTime at) const {
  std::vector<std::uint32_t> out;
  out.reserve(size_);
  for (std::uint32_t index = 0; index < nodes_.size(); ++index) {
    if (alive(index, at)) out.push_back(index);
  }
  OXBOW_INVARIANT(out.size() == size_);
  return out;
}

std::uint32_t LookupHistory::first_at(std::uint64_t id) const {
  return static_cast<std::uint32_t>(std::ranges::lower_bound(nodes_, id, {}, &Node::id) - nodes_.begin());
}

std::uint32_t LookupHistory::successor(std::uint64_t id, HistoryTime at) const {
  const auto first = first_at(id);
  const auto index = first == nodes_.size() ? 0 : first;
  return alive(index, at) ? index : next(index, at);
}

std::uint32_t LookupHistory::next(std::uint32_t index, HistoryTime at) const {
  do {
    index = index + 1 == nodes_.size() ? 0 : index + 1;
  } while (!alive(index, at));
  return index;
}

}  // namespace oxbow::p2p::sim

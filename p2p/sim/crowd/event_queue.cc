#include "p2p/sim/crowd/event_queue.h"

#include <algorithm>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

bool later(const CrowdEvent& a, const CrowdEvent& b) noexcept { return a.at != b.at ? a.at > b.at : a.order > b.order; }

}  // namespace

EventQueue::EventQueue() : buckets_(kBuckets) {}

void EventQueue::push(Micros at, CrowdEvent::Kind kind, std::uint32_t a, std::uint32_t b) {
  const CrowdEvent event{at, order_++, a, b, kind};
  ++size_;
  const auto bucket = at >> kWidthBits;
  if (bucket <= bucket_) {
    late_.push_back(event);
    std::ranges::push_heap(late_, later);
  } else if (bucket - bucket_ < static_cast<std::int64_t>(kBuckets)) {
    put(static_cast<std::size_t>(bucket) % kBuckets, event);
  } else {
    far_.push_back(event);
  }
}

void EventQueue::put(std::size_t bucket, const CrowdEvent& event) {
  auto& events = buckets_[bucket];
  if (events.capacity() == 0 && !spare_.empty()) {
    events = std::move(spare_.back());
    spare_.pop_back();
  }
  events.push_back(event);
}

CrowdEvent EventQueue::pop() {
  OXBOW_INVARIANT(size_ > 0);
  while (open_.empty() && late_.empty()) open_next();
  --size_;
  if (late_.empty() || (!open_.empty() && later(late_.front(), open_.back()))) {
    const auto event = open_.back();
    open_.pop_back();
    return event;
  }
  std::ranges::pop_heap(late_, later);
  const auto event = late_.back();
  late_.pop_back();
  return event;
}

void EventQueue::open_next() {
  ++bucket_;
  auto& next = buckets_[static_cast<std::size_t>(bucket_) % kBuckets];
  if (!next.empty()) {
    // The emptied bucket's memory goes on to the next one that fills.
    if (open_.capacity() > 0) spare_.push_back(std::move(open_));
    open_ = std::move(next);
    next = {};
    std::ranges::sort(open_, later);
  }
  if (!far_.empty() && static_cast<std::size_t>(bucket_) % (kBuckets / 4) == 0) take_far();
}

void EventQueue::take_far() {
  const auto horizon = bucket_ + static_cast<std::int64_t>(kBuckets);
  const auto near = [&](const CrowdEvent& event) { return (event.at >> kWidthBits) < horizon; };
  for (const auto& event : far_) {
    if (near(event)) put(static_cast<std::size_t>(event.at >> kWidthBits) % kBuckets, event);
  }
  std::erase_if(far_, near);
}

}  // namespace oxbow::p2p::sim

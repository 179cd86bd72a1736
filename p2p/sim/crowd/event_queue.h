// What happens next in a crowd: a calendar queue (R. Brown, "Calendar queues", 1988) of small plain events in
// simulated microseconds. Events of the same microsecond come in the order in which they were pushed, so that a run is
// the same everywhere.
// Thread rule: one thread. Lifetime: of its simulation.
#pragma once

#include <cstdint>
#include <vector>

namespace oxbow::p2p::sim {

using Micros = std::int64_t;

struct CrowdEvent {
  enum class Kind : std::uint8_t {
    kStart,      ///< a: node
    kTimer,      ///< a: node; of its strategy
    kWake,       ///< a: node; news that it waits for have come
    kRequest,    ///< a: flow, b: its generation; the request has come to the source
    kMilestone,  ///< a: flow, b: its generation; a stripe may be complete
    kSlotWait,   ///< a: flow, b: its generation; it has waited long enough for an upload slot
    kEnded,      ///< a: node, b: index of an ended fetch that its strategy is told of
    kLine,       ///< a: node; its have streams may tell more
    kWatch,      ///< a: watcher, b: the watched
    kMessage,    ///< a: message; it has come to its coordinator
    kReply,      ///< a: message; the answer has come back
    kLinks,      ///< shares of the shared links are made anew
    kTick,       ///< coordinators look at their clocks
    kDeath,      ///< some node dies
    kPath,       ///< a: flow, b: its generation; a request along a path has an answer, or no time left
  };
  Micros at = 0;
  std::uint64_t order = 0;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  Kind kind = Kind::kStart;
};

class EventQueue {
 public:
  EventQueue();

  /// Not before what was popped last.
  void push(Micros at, CrowdEvent::Kind kind, std::uint32_t a, std::uint32_t b = 0);
  bool empty() const noexcept { return size_ == 0; }
  /// Requires one.
  CrowdEvent pop();
  /// One that will be popped in about so many steps, so that what it needs can be fetched from memory before. Null: not
  /// known. Says nothing about order.
  const CrowdEvent* ahead(std::size_t steps) const noexcept {
    return open_.size() > steps ? &open_[open_.size() - 1 - steps] : nullptr;
  }
  std::uint64_t pushed() const noexcept { return order_; }

 private:
  static constexpr int kWidthBits = 7;                            ///< a bucket is 128 us wide
  static constexpr std::size_t kBuckets = std::size_t{1} << 17U;  ///< 16.8 s

  void put(std::size_t bucket, const CrowdEvent& event);
  void open_next();
  void take_far();

  std::vector<std::vector<CrowdEvent>> buckets_;
  std::vector<CrowdEvent> open_;                ///< the bucket that is being emptied, the next one last
  std::vector<CrowdEvent> late_;                ///< came for it since it was opened: a heap
  std::vector<std::vector<CrowdEvent>> spare_;  ///< memory of emptied buckets
  std::vector<CrowdEvent> far_;                 ///< beyond the horizon
  std::int64_t bucket_ = -1;                    ///< that is open
  std::uint64_t order_ = 0;
  std::size_t size_ = 0;
};

}  // namespace oxbow::p2p::sim

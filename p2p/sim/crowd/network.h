// The network of a crowd: nodes in racks in rows, their links, the shared uplinks, the upstream registry, and the
// flows between them.
//
// The bandwidth model is "equal shares with redistribution". A flow is entitled to an equal share of its sender's
// uplink and of its receiver's downlink, and gets the smaller of the two; what others leave is given to whoever can use
// it at both ends, the slowest first. Shares change when the flows at one of a flow's two ends change; nobody looks
// farther, so that a change costs as many steps as the two ends have flows. Shared links (rack and row uplinks, the
// upstream registry) have a level, the rate that none of their flows exceeds: the water level at which they are full,
// made anew every few milliseconds. Exact max-min sharing is in p2p/sim/crowd/max_min.h; a test compares the two.
//
// Rates are bytes a second, times microseconds, all whole numbers: the same on every machine. No link is ever above its
// capacity.
// Thread rule: one thread. Lifetime: of its simulation.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include "p2p/sim/crowd/event_queue.h"

namespace oxbow::p2p::sim {

using Rate = std::int64_t;  ///< bytes per second
using FlowId = std::uint32_t;
inline constexpr FlowId kNoFlow = std::numeric_limits<FlowId>::max();
inline constexpr std::uint32_t kFromUpstream = std::numeric_limits<std::uint32_t>::max();

struct NetworkOptions {
  std::uint32_t nodes = 1'000;
  std::uint32_t rack_nodes = 32;
  std::uint32_t row_racks = 16;
  Rate up = 125'000'000;  ///< of a node's link: 1 Gb/s
  Rate down = 125'000'000;
  Rate upstream = 1'250'000'000;
  Rate upstream_connection = 0;      ///< throttle of each connection; 0: none
  double rack_oversubscription = 0;  ///< of a rack's uplink: its nodes' links over it; 0: it is never full
  double row_oversubscription = 0;   ///< of a row's: its racks' uplinks over it
  Micros rack_latency = 100;         ///< one way, within a rack,
  Micros row_latency = 250;          ///< between racks of a row,
  Micros far_latency = 500;          ///< between rows
  Micros upstream_latency = 10'000;
  bool redistribute = true;  ///< off: a flow gets the smaller of its two equal shares and no more
};

/// How far two nodes are from each other.
enum class Tier : std::uint8_t { kRack, kRow, kFar };

class Network {
 public:
  struct Flow {
    std::uint32_t from = kFromUpstream;
    std::uint32_t to = 0;
    std::uint32_t generation = 0;  ///< of the place: events of one that has ended are known by it
    std::int64_t left = 0;         ///< bytes until the next milestone
    std::int64_t moved = 0;        ///< bytes since it began
    Rate rate = 0;
    Micros since = 0;         ///< `left` and `moved` are as of then
    FlowId feeder = kNoFlow;  ///< what it passes on arrives by that one: it is not faster
    bool flowing = false;
    bool stalled = false;  ///< its sender is dead

   private:
    friend class Network;
    Micros queued = -1;  ///< when its next event comes
    std::uint32_t children = 0;
    std::uint32_t out_place = 0;
    std::uint32_t in_place = 0;
    std::uint8_t links = 0;
    std::array<std::uint32_t, 4> link = {};
    std::array<std::uint32_t, 4> link_place = {};
  };

  Network(const NetworkOptions& options, EventQueue& queue);

  // Topology
  std::uint32_t rack_of(std::uint32_t node) const noexcept { return node / options_.rack_nodes; }
  std::uint32_t row_of(std::uint32_t node) const noexcept { return rack_of(node) / options_.row_racks; }
  Tier tier(std::uint32_t a, std::uint32_t b) const noexcept;
  Micros latency(std::uint32_t a, std::uint32_t b) const noexcept;

  // Flows
  FlowId add(std::uint32_t from, std::uint32_t to);  ///< reserves a place; nothing flows yet
  Flow& flow(FlowId id) noexcept { return flows_[id]; }
  const Flow& flow(FlowId id) const noexcept { return flows_[id]; }
  void begin(Micros now, FlowId id, std::int64_t bytes);
  /// Brings `left` and `moved` up to date; true: the milestone is reached. Else its event is queued again.
  bool at_milestone(Micros now, FlowId id);
  void go_on(Micros now, FlowId id, std::int64_t bytes);  ///< to the next milestone
  void bring_up_to_date(Micros now, FlowId id);
  /// `child` passes on what `feeder` brings to its sender. Before `begin`.
  void feed(FlowId child, FlowId feeder);
  void release_children(Micros now, FlowId feeder);  ///< what it brought is there, or comes no more
  void end(Micros now, FlowId id);                   ///< frees the place
  void stall_sender(Micros now, std::uint32_t node);
  void set_up(std::uint32_t node, Rate up) { ups_[node].capacity = up; }          ///< before any flow
  void set_down(std::uint32_t node, Rate down) { downs_[node].capacity = down; }  ///< before any flow
  const std::vector<FlowId>& uploads(std::uint32_t node) const noexcept { return ups_[node].flows; }

  /// Shared links look at their flows; at kLinks events. Returns when next.
  Micros share_links(Micros now);

  // What was counted
  struct Counts {
    std::int64_t upstream = 0;
    std::array<std::int64_t, 3> by_tier = {};  ///< between peers
    std::int64_t peers() const noexcept { return by_tier[0] + by_tier[1] + by_tier[2]; }
  };
  const Counts& counts() const noexcept { return counts_; }
  std::int64_t uploaded(std::uint32_t node) const noexcept { return uploaded_[node]; }
  const std::vector<std::int64_t>& rack_out() const noexcept { return rack_out_; }  ///< bytes out of each rack
  const std::vector<std::int64_t>& row_out() const noexcept { return row_out_; }

  /// Sum of the rates at every port and link, compared with its capacity and with what is kept. Slow; for tests.
  void check() const;
  std::size_t live_flows() const noexcept { return flows_.size() - free_.size(); }

 private:
  struct Port {
    Rate capacity = 0;
    Rate used = 0;
    std::vector<FlowId> flows;
    Rate slack() const noexcept { return capacity - used; }
  };
  struct Link {
    Rate capacity = 0;
    Rate used = 0;
    Rate level = std::numeric_limits<Rate>::max();
    std::vector<FlowId> flows;
  };

  void join_links(FlowId id);
  void leave_links(FlowId id);
  void set_rate(Micros now, FlowId id, Rate rate);
  void settle(Micros now, Flow& flow);
  void count(const Flow& flow, std::int64_t bytes);
  Rate ends_room(const Flow& flow) const;
  Rate room(const Flow& flow) const;
  void make_room(Micros now, Port& port, FlowId newcomer, Rate wanted);
  void give_rest(Micros now, Port& port);
  void plain_shares(Micros now, const Port& port);
  void share_link(Micros now, Link& link);

  const NetworkOptions options_;
  EventQueue& queue_;
  std::vector<Flow> flows_;
  std::vector<FlowId> free_;
  std::vector<Port> ups_;
  std::vector<Port> downs_;
  // Shared links: upstream, then of every rack and row the way up and the way down.
  std::vector<Link> links_;
  std::uint32_t racks_ = 0;
  std::uint32_t rows_ = 0;
  Counts counts_;
  std::vector<std::int64_t> uploaded_;
  std::vector<std::int64_t> rack_out_;
  std::vector<std::int64_t> row_out_;
  std::vector<std::pair<Rate, FlowId>> sorted_;  ///< reused
};

}  // namespace oxbow::p2p::sim

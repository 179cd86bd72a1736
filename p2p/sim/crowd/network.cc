#include "p2p/sim/crowd/network.h"

#include <algorithm>

#include "core/error.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

std::int64_t bytes_in(Rate rate, Micros time) { return rate * time / kSecond; }

}  // namespace

Network::Network(const NetworkOptions& options, EventQueue& queue)
    : options_(options), queue_(queue), ups_(options.nodes), downs_(options.nodes), uploaded_(options.nodes) {
  racks_ = rack_of(options.nodes - 1) + 1;
  rows_ = row_of(options.nodes - 1) + 1;
  rack_out_.resize(racks_);
  row_out_.resize(rows_);
  for (auto& port : ups_) port.capacity = options.up;
  for (auto& port : downs_) port.capacity = options.down;
  links_.resize(1 + 2 * std::size_t{racks_} + 2 * std::size_t{rows_});
  links_[0].capacity = options.upstream;
  const auto rack = [&](Rate link) {
    const auto all = static_cast<double>(link) * options.rack_nodes;
    return options.rack_oversubscription > 0 ? static_cast<Rate>(all / options.rack_oversubscription) : 0;
  };
  for (std::uint32_t i = 0; i < racks_; ++i) {
    links_[1 + 2 * i].capacity = rack(options.up);
    links_[2 + 2 * i].capacity = rack(options.down);
  }
  for (std::uint32_t i = 0; i < rows_; ++i) {
    const auto row = [&](Rate link) {
      const auto uplink = options.rack_oversubscription > 0 ? rack(link) : link * options.rack_nodes;
      const auto all = static_cast<double>(uplink) * options.row_racks;
      return options.row_oversubscription > 0 ? static_cast<Rate>(all / options.row_oversubscription) : 0;
    };
    links_[1 + 2 * std::size_t{racks_} + 2 * i].capacity = row(options.up);
    links_[2 + 2 * std::size_t{racks_} + 2 * i].capacity = row(options.down);
  }
}

Tier Network::tier(std::uint32_t a, std::uint32_t b) const noexcept {
  if (rack_of(a) == rack_of(b)) return Tier::kRack;
  return row_of(a) == row_of(b) ? Tier::kRow : Tier::kFar;
}

Micros Network::latency(std::uint32_t a, std::uint32_t b) const noexcept {
  if (a == kFromUpstream || b == kFromUpstream) return options_.upstream_latency;
  switch (tier(a, b)) {
    case Tier::kRack:
      return options_.rack_latency;
    case Tier::kRow:
      return options_.row_latency;
    case Tier::kFar:
      break;
  }
  return options_.far_latency;
}

FlowId Network::add(std::uint32_t from, std::uint32_t to) {
  FlowId id = static_cast<FlowId>(flows_.size());
  if (free_.empty()) {
    flows_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  const auto generation = flows_[id].generation;
  flows_[id] = Flow();
  flows_[id].generation = generation;
  flows_[id].from = from;
  flows_[id].to = to;
  return id;
}

void Network::join_links(FlowId id) {
  auto& flow = flows_[id];
  const auto join = [&](std::uint32_t number) {
    auto& link = links_[number];
    if (link.capacity == 0) return;
    flow.link[flow.links] = number;
    flow.link_place[flow.links++] = static_cast<std::uint32_t>(link.flows.size());
    link.flows.push_back(id);
  };
  const bool upstream = flow.from == kFromUpstream;
  const auto tier_of = upstream ? Tier::kFar : tier(flow.from, flow.to);
  if (upstream) join(0);
  if (tier_of == Tier::kRack) return;
  if (!upstream) join(1 + 2 * rack_of(flow.from));
  join(2 + 2 * rack_of(flow.to));
  if (tier_of == Tier::kRow) return;
  if (!upstream) join(1 + 2 * racks_ + 2 * row_of(flow.from));
  join(2 + 2 * racks_ + 2 * row_of(flow.to));
}

void Network::leave_links(FlowId id) {
  auto& flow = flows_[id];
  for (std::uint8_t i = 0; i < flow.links; ++i) {
    auto& all = links_[flow.link[i]].flows;
    const auto place = flow.link_place[i];
    all[place] = all.back();
    all.pop_back();
    if (place == all.size()) continue;
    auto& moved = flows_[all[place]];
    for (std::uint8_t j = 0; j < moved.links; ++j) {
      if (moved.link[j] == flow.link[i]) moved.link_place[j] = place;
    }
  }
  flow.links = 0;
}

void Network::settle(Micros now, Flow& flow) {
  const auto bytes = std::min(bytes_in(flow.rate, now - flow.since), flow.left);
  flow.left -= bytes;
  flow.moved += bytes;
  flow.since = now;
  if (bytes > 0) count(flow, bytes);
}

void Network::count(const Flow& flow, std::int64_t bytes) {
  if (flow.from == kFromUpstream) {
    counts_.upstream += bytes;
    return;
  }
  uploaded_[flow.from] += bytes;
  const auto tier_of = tier(flow.from, flow.to);
  counts_.by_tier[static_cast<std::size_t>(tier_of)] += bytes;
  if (tier_of != Tier::kRack) rack_out_[rack_of(flow.from)] += bytes;
  if (tier_of == Tier::kFar) row_out_[row_of(flow.from)] += bytes;
}

void Network::set_rate(Micros now, FlowId id, Rate rate) {
  auto& flow = flows_[id];
  if (rate == flow.rate) return;
  settle(now, flow);
  const auto change = rate - flow.rate;
  if (flow.from != kFromUpstream) ups_[flow.from].used += change;
  downs_[flow.to].used += change;
  for (std::uint8_t i = 0; i < flow.links; ++i) links_[flow.link[i]].used += change;
  flow.rate = rate;
  if (rate > 0) {
    const auto due = now + (flow.left * kSecond + rate - 1) / rate;
    // One that is due later than its event has it queued again when that comes.
    if (flow.queued < 0 || due < flow.queued) {
      flow.queued = due;
      queue_.push(due, CrowdEvent::Kind::kMilestone, id, flow.generation);
    }
  }
  if (flow.children == 0 || change > 0) return;
  for (const auto child : ups_[flow.to].flows) {
    if (flows_[child].feeder == id && flows_[child].rate > rate) set_rate(now, child, rate);
  }
}

void Network::begin(Micros now, FlowId id, std::int64_t bytes) {
  auto& flow = flows_[id];
  flow.flowing = true;
  flow.left = bytes;
  flow.since = now;
  auto& down = downs_[flow.to];
  flow.in_place = static_cast<std::uint32_t>(down.flows.size());
  down.flows.push_back(id);
  Port* up = flow.from == kFromUpstream ? nullptr : &ups_[flow.from];
  if (up != nullptr) {
    flow.out_place = static_cast<std::uint32_t>(up->flows.size());
    up->flows.push_back(id);
  }
  join_links(id);
  if (!options_.redistribute) {
    plain_shares(now, down);
    if (up != nullptr) plain_shares(now, *up);
    return;
  }
  auto fair = down.capacity / static_cast<Rate>(down.flows.size());
  if (up != nullptr) fair = std::min(fair, up->capacity / static_cast<Rate>(up->flows.size()));
  if (flow.feeder != kNoFlow) fair = std::min(fair, flows_[flow.feeder].rate);
  for (std::uint8_t i = 0; i < flow.links; ++i) {
    const auto& link = links_[flow.link[i]];
    fair = std::min({fair, link.level, link.capacity - link.used});
  }
  if (flow.from == kFromUpstream && options_.upstream_connection > 0)
    fair = std::min(fair, options_.upstream_connection);
  if (fair <= 0) return;
  make_room(now, down, id, fair);
  if (up != nullptr) make_room(now, *up, id, fair);
  set_rate(now, id, room(flow));
}

bool Network::at_milestone(Micros now, FlowId id) {
  auto& flow = flows_[id];
  if (flow.queued != now) return false;  // another event of it comes
  flow.queued = -1;
  settle(now, flow);
  if (flow.left > 0 && flow.rate > 0) {
    // A byte a settling may be lost to rounding: what takes less than a microsecond is over.
    const auto due = now + (flow.left * kSecond + flow.rate - 1) / flow.rate;
    if (due > now + 1) {
      flow.queued = due;
      queue_.push(due, CrowdEvent::Kind::kMilestone, id, flow.generation);
      return false;
    }
    count(flow, flow.left);
    flow.moved += flow.left;
    flow.left = 0;
  }
  return flow.left == 0;
}

void Network::go_on(Micros now, FlowId id, std::int64_t bytes) {
  auto& flow = flows_[id];
  flow.left = bytes;
  flow.since = now;
  if (flow.rate <= 0) return;
  flow.queued = now + (bytes * kSecond + flow.rate - 1) / flow.rate;
  queue_.push(flow.queued, CrowdEvent::Kind::kMilestone, id, flow.generation);
}

void Network::bring_up_to_date(Micros now, FlowId id) { settle(now, flows_[id]); }

void Network::feed(FlowId child, FlowId feeder) {
  flows_[child].feeder = feeder;
  ++flows_[feeder].children;
}

void Network::release_children(Micros now, FlowId feeder) {
  auto& flow = flows_[feeder];
  if (flow.children == 0) return;
  flow.children = 0;
  auto& port = ups_[flow.to];
  for (const auto child : port.flows) {
    if (flows_[child].feeder == feeder) flows_[child].feeder = kNoFlow;
  }
  if (options_.redistribute)
    give_rest(now, port);
  else
    plain_shares(now, port);
}

void Network::end(Micros now, FlowId id) {
  auto& flow = flows_[id];
  if (flow.flowing) {
    release_children(now, id);
    set_rate(now, id, 0);
    settle(now, flow);
    const auto leave = [&](Port& port, std::uint32_t Flow::* place) {
      const auto at = flow.*place;
      port.flows[at] = port.flows.back();
      flows_[port.flows[at]].*place = at;
      port.flows.pop_back();
    };
    leave(downs_[flow.to], &Flow::in_place);
    if (flow.from != kFromUpstream) leave(ups_[flow.from], &Flow::out_place);
    leave_links(id);
  }
  if (flow.feeder != kNoFlow && flows_[flow.feeder].children > 0) --flows_[flow.feeder].children;
  ++flow.generation;
  free_.push_back(id);
  if (!flow.flowing) return;
  flow.flowing = false;
  const auto share = [&](Port& port) {
    if (options_.redistribute)
      give_rest(now, port);
    else
      plain_shares(now, port);
  };
  share(downs_[flow.to]);
  if (flow.from != kFromUpstream) share(ups_[flow.from]);
}

void Network::stall_sender(Micros now, std::uint32_t node) {
  for (const auto id : ups_[node].flows) {
    flows_[id].stalled = true;
    set_rate(now, id, 0);
  }
}

void Network::check() const {
  const auto rates = [&](const std::vector<FlowId>& flows) {
    Rate sum = 0;
    for (const auto id : flows) {
      const auto& flow = flows_[id];
      OXBOW_INVARIANT(flow.flowing && flow.rate >= 0 && flow.left >= 0);
      // No byte from nowhere: what is passed on is not faster than it arrives.
      OXBOW_INVARIANT(flow.feeder == kNoFlow || flow.rate <= flows_[flow.feeder].rate);
      sum += flows_[id].rate;
    }
    return sum;
  };
  const auto good = [&](Rate used, Rate capacity, const std::vector<FlowId>& flows) {
    OXBOW_INVARIANT(used == rates(flows));
    OXBOW_INVARIANT(used <= capacity);
  };
  for (const auto& port : ups_) good(port.used, port.capacity, port.flows);
  for (const auto& port : downs_) good(port.used, port.capacity, port.flows);
  for (const auto& link : links_) {
    if (link.capacity > 0) good(link.used, link.capacity, link.flows);
  }
}

}  // namespace oxbow::p2p::sim

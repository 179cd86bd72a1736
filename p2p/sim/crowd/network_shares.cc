// How flows share what they cross: equal shares with redistribution at the two ends, a water level at shared links.
#include <algorithm>

#include "p2p/sim/crowd/network.h"

namespace oxbow::p2p::sim {
namespace {

constexpr Rate kTinyShare = 256;  ///< of a port: changes below this part of it are not worth their events

}  // namespace

/// How much faster a flow can be by its two ends and what feeds it.
Rate Network::ends_room(const Flow& flow) const {
  if (flow.stalled) return 0;
  auto room = downs_[flow.to].slack();
  if (flow.from != kFromUpstream) {
    room = std::min(room, ups_[flow.from].slack());
  } else if (options_.upstream_connection > 0) {
    room = std::min(room, options_.upstream_connection - flow.rate);
  }
  if (flow.feeder != kNoFlow) room = std::min(room, flows_[flow.feeder].rate - flow.rate);
  return room;
}

Rate Network::room(const Flow& flow) const {
  auto most = ends_room(flow);
  for (std::uint8_t i = 0; i < flow.links; ++i) {
    const auto& link = links_[flow.link[i]];
    most = std::min({most, link.capacity - link.used, link.level - flow.rate});
  }
  return std::max<Rate>(most, 0);
}

/// Takes from those that have most until `wanted` is free.
void Network::make_room(Micros now, Port& port, FlowId newcomer, Rate wanted) {
  auto missing = wanted - port.slack();
  if (missing <= 0) return;
  sorted_.clear();
  for (const auto id : port.flows) {
    if (id != newcomer) sorted_.emplace_back(flows_[id].rate, id);
  }
  std::ranges::sort(sorted_, std::greater<>());
  // The level to which the first so many are cut.
  Rate sum = 0;
  Rate level = 0;
  std::size_t count = 0;
  while (count < sorted_.size()) {
    sum += sorted_[count++].first;
    level = (sum - missing) / static_cast<Rate>(count);
    if (count == sorted_.size() || level >= sorted_[count].first) break;
  }
  level = std::max<Rate>(level, 0);
  for (std::size_t i = 0; i < count; ++i) {
    if (flows_[sorted_[i].second].rate > level) set_rate(now, sorted_[i].second, level);
  }
}

/// What a port has left goes to its flows that can use it, the slowest first.
void Network::give_rest(Micros now, Port& port) {
  const auto tiny = port.capacity / kTinyShare;
  if (port.slack() <= tiny || port.flows.empty()) return;
  sorted_.clear();
  for (const auto id : port.flows) {
    if (room(flows_[id]) > 0) sorted_.emplace_back(flows_[id].rate, id);
  }
  std::ranges::sort(sorted_);
  for (std::size_t first = 0; first < sorted_.size(); ++first) {
    // The level that the rest would reach with what is left, were they all able to.
    Rate sum = port.slack();
    Rate level = 0;
    std::size_t count = 0;
    for (auto i = first; i < sorted_.size(); ++i) {
      if (count > 0 && sorted_[i].first >= level) break;
      sum += sorted_[i].first;
      level = sum / static_cast<Rate>(++count);
    }
    const auto& flow = flows_[sorted_[first].second];
    const auto more = std::min(level - flow.rate, room(flow));
    if (more > 0) set_rate(now, sorted_[first].second, flow.rate + more);
  }
}

void Network::plain_shares(Micros now, const Port& port) {
  const auto share = [](const Port& one) {
    return one.capacity / std::max<Rate>(static_cast<Rate>(one.flows.size()), 1);
  };
  // The slower ones first, so that nothing is above its capacity in between.
  for (const bool faster : {false, true}) {
    for (const auto id : port.flows) {
      const auto& flow = flows_[id];
      auto rate = share(downs_[flow.to]);
      if (flow.from != kFromUpstream) rate = std::min(rate, share(ups_[flow.from]));
      if (flow.feeder != kNoFlow) rate = std::min(rate, flows_[flow.feeder].rate);
      if (flow.stalled) rate = 0;
      if (rate > flow.rate) rate = std::min(rate, flow.rate + room(flow));
      if ((rate > flow.rate) == faster) set_rate(now, id, rate);
    }
  }
}

Micros Network::share_links(Micros now) {
  std::size_t looked_at = 0;
  for (auto& link : links_) {
    if (link.capacity == 0 || link.flows.empty()) continue;
    if (link.level == std::numeric_limits<Rate>::max() && link.used < link.capacity - link.capacity / 64) continue;
    share_link(now, link);
    looked_at += link.flows.size();
  }
  // Ten milliseconds, or more where a link has very many flows.
  return now + std::max<Micros>(10'000, static_cast<Micros>(looked_at / 16));
}

void Network::share_link(Micros now, Link& link) {
  sorted_.clear();
  for (const auto id : link.flows) sorted_.emplace_back(flows_[id].rate + std::max<Rate>(ends_room(flows_[id]), 0), id);
  std::ranges::sort(sorted_);
  auto left = link.capacity;
  auto count = static_cast<Rate>(sorted_.size());
  link.level = std::numeric_limits<Rate>::max();
  for (const auto& [demand, id] : sorted_) {
    if (demand * count > left) {
      link.level = left / count;
      break;
    }
    left -= demand;
    --count;
  }
  for (const auto& [demand, id] : sorted_) {
    if (flows_[id].rate > link.level) set_rate(now, id, link.level);
  }
  for (const auto& [demand, id] : sorted_) {
    const auto more = room(flows_[id]);
    if (more > 0) set_rate(now, id, flows_[id].rate + more);
  }
}

}  // namespace oxbow::p2p::sim

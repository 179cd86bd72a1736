// Stripes on their way: requests, upload slots and their queues, cut-through, ends.
#include <algorithm>

#include "p2p/sim/crowd/engine.h"

namespace oxbow::p2p::sim {

std::int64_t CrowdEngine::bytes_of(std::uint32_t stripe) const {
  return static_cast<std::int64_t>(geometry_.stripe(stripe).size());
}

/// A stripe is fetched once at a time, but for hedges.
void CrowdEngine::check_unassigned(const Node& node, const Fetch& fetch, std::uint32_t stripe) const {
  OXBOW_INVARIANT(!node.have.has(stripe));
  for (const auto other : node.fetches) {
    const auto& one = transfers_[other];
    OXBOW_INVARIANT(fetch.hedge_of || one.cancelled || stripe < one.stripe || stripe >= one.stripes.end);
  }
}

FlowId CrowdEngine::new_transfer(std::uint32_t from, std::uint32_t to, StripeRange stripes) {
  const auto id = network_.add(from, to);
  if (transfers_.size() <= id) transfers_.resize(id + 1);
  if (paths_ && passages_.size() <= id) passages_.resize(id + 1);
  auto& transfer = transfers_[id];
  transfer = Transfer();
  transfer.stripes = stripes;
  transfer.stripe = stripes.begin;
  transfer.last_byte = now_;
  if (paths_) passages_[id] = Passage();
  nodes_[to].fetches.push_back(id);
  if (from == kFromUpstream) ++nodes_[to].from_upstream;
  return id;
}

void CrowdEngine::start_fetch(std::uint32_t index, Fetch fetch) {
  Passage passage;
  std::optional<Errc> over;
  if (paths_) over = set_out(index, fetch, passage);
  if (options_.check && !over) {
    for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe)
      check_unassigned(nodes_[index], fetch, stripe);
  }
  const auto from = over ? index : fetch.source == kUpstream ? kFromUpstream : fetch.source - 1;
  const auto id = new_transfer(from, index, fetch.stripes);
  const auto generation = network_.flow(id).generation;
  auto& transfer = transfers_[id];
  transfer.fetch = fetch.id;
  if (fetch.hedge_of) {
    ++hedges_;
    transfer.hedge_of = *fetch.hedge_of;
  }
  if (paths_) {
    passages_[id] = std::move(passage);
    if (passages_[id].head_until >= 0) queue_.push(passages_[id].head_until, CrowdEvent::Kind::kPath, id, generation);
  }
  if (over) {
    transfer.ends_with = *over;
    return queue_.push(now_, CrowdEvent::Kind::kEnded, id, generation);
  }
  queue_.push(now_ + network_.latency(from, index), CrowdEvent::Kind::kRequest, id, generation);
}

/// A stripe that comes to `node` from upstream at this moment may be passed on as it arrives; along a tree from
/// anywhere, because it has no cycles.
FlowId CrowdEngine::arriving_at(std::uint32_t index, std::uint32_t stripe) const {
  if (!options_.cut_through || (nodes_[index].from_upstream == 0 && !waits_)) return kNoFlow;
  for (const auto id : nodes_[index].fetches) {
    const auto& flow = network_.flow(id);
    const bool passes_on = flow.from == kFromUpstream || waits_;
    if (passes_on && flow.flowing && transfers_[id].stripe == stripe) return id;
  }
  return kNoFlow;
}

void CrowdEngine::request(FlowId id) {
  auto& one = transfers_[id];
  const auto& flow = network_.flow(id);
  if (flow.from == kFromUpstream) {
    one.state = Transfer::State::kFlowing;
    const auto part = first_part(flow.to, one.stripe, bytes_of(one.stripe));
    one.rest = bytes_of(one.stripe) - part;
    const auto to = flow.to;
    network_.begin(now_, id, part);
    news(to, one.stripe, StripeNews::What::kArriving);
    if (waits_) serve_next(to);
    return;
  }
  auto& source = nodes_[flow.from];
  if (!source.alive) return;  // silence
  if (paths_ && passages_[id].along) return request_along(id);
  const auto feeder = source.have.has(one.stripe) ? kNoFlow : arriving_at(flow.from, one.stripe);
  const bool there = feeder != kNoFlow || source.have.has(one.stripe);
  if (!there && !waits_) {
    const auto expected = coming_to(flow.from, one.stripe);
    const bool soon = expected != kNoFlow && network_.flow(expected).from == kFromUpstream;
    return refuse(id, soon ? Errc::kBusy : Errc::kNotFound);
  }
  if (there && may_serve(flow.from, one.stripe)) return serve(id, feeder);
  if (waits_) {
    const auto from = flow.from;
    one.state = Transfer::State::kWaiting;
    source.waiting.push_back(id);
    if (!there) relay(from, one.stripe);
    return;
  }
  const bool in_vain = source.serving < slots_ && !is_its_turn(flow.from, one.stripe);
  if (in_vain || source.waiting.size() >= options_.upload_waiting) return turn_away(id);
  one.state = Transfer::State::kWaiting;
  source.waiting.push_back(id);
  queue_.push(now_ + options_.slot_wait, CrowdEvent::Kind::kSlotWait, id, flow.generation);
}

void CrowdEngine::slot_wait_over(FlowId id) {
  if (transfers_[id].state != Transfer::State::kWaiting) return;
  transfers_[id].state = Transfer::State::kAsked;
  std::erase(nodes_[network_.flow(id).from].waiting, id);
  turn_away(id);
}

/// This answer carries the load too.
void CrowdEngine::turn_away(FlowId id) {
  const auto& flow = network_.flow(id);
  ++busy_;
  if (!paths_) mail_[flow.to].news.push_back(load_news(flow.from));
  refuse(id, Errc::kBusy);
}

void CrowdEngine::refuse(FlowId id, Errc code) {
  const auto& flow = network_.flow(id);
  transfers_[id].ends_with = code;
  queue_.push(now_ + network_.latency(flow.from, flow.to), CrowdEvent::Kind::kEnded, id, flow.generation);
}

void CrowdEngine::serve(FlowId id, FlowId feeder) {
  auto& one = transfers_[id];
  const auto& flow = network_.flow(id);
  auto& source = nodes_[flow.from];
  if (one.state != Transfer::State::kPassing) ++source.serving;
  one.state = Transfer::State::kFlowing;
  one.served = now_;
  auto bytes = bytes_of(one.stripe);
  if (one.hedge_of != 0) {
    // Only what is missing of it is asked for.
    for (const auto late : nodes_[flow.to].fetches) {
      if (transfers_[late].fetch != one.hedge_of || !network_.flow(late).flowing) continue;
      network_.bring_up_to_date(now_, late);
      bytes = std::max<std::int64_t>(network_.flow(late).left + transfers_[late].rest, 1);
    }
  }
  if (feeder != kNoFlow) network_.feed(id, feeder);
  const auto part = first_part(flow.to, one.stripe, bytes);
  one.rest = bytes - part;
  network_.begin(now_, id, part);
  if (paths_) return heard(id);
  // The answer's head carries the load.
  mail_[flow.to].news.push_back(load_news(flow.from));
  if (waits_) serve_next(flow.to);
}

bool CrowdEngine::is_its_turn(std::uint32_t index, std::uint32_t stripe) const {
  if (geometry_.stripes() > options_.in_turn_stripes || options_.same_stripe == 0 || paths_ || waits_) return true;
  return std::ranges::none_of(network_.uploads(index), [&](FlowId id) {
    return transfers_[id].stripe == stripe && now_ - transfers_[id].served < options_.turn;
  });
}

/// A copy that is complete early is a source early: of one stripe only a few are sent side by side.
bool CrowdEngine::may_serve(std::uint32_t index, std::uint32_t stripe) const {
  if (nodes_[index].serving >= slots_) return false;
  if (options_.same_stripe == 0 || paths_) return true;
  if (!is_its_turn(index, stripe)) return false;
  const auto& uploads = network_.uploads(index);
  const auto same = std::ranges::count_if(uploads, [&](FlowId id) { return transfers_[id].stripe == stripe; });
  return same < static_cast<std::ptrdiff_t>(options_.same_stripe);
}

void CrowdEngine::serve_next(std::uint32_t index) {
  auto& source = nodes_[index];
  for (std::size_t place = 0; place < source.waiting.size();) {
    const auto next = source.waiting[place];
    if (source.serving >= slots_) return;
    const bool waits =
        waits_ && !source.have.has(transfers_[next].stripe) && arriving_at(index, transfers_[next].stripe) == kNoFlow;
    if (waits || !may_serve(index, transfers_[next].stripe)) {
      ++place;
      continue;
    }
    source.waiting.erase(source.waiting.begin() + static_cast<std::ptrdiff_t>(place));
    if (paths_ && passages_[next].along) {
      take_slot(next);
      continue;
    }
    const auto stripe = transfers_[next].stripe;
    const auto feeder = source.have.has(stripe) ? kNoFlow : arriving_at(index, stripe);
    if (feeder == kNoFlow && !source.have.has(stripe)) {
      OXBOW_INVARIANT(!waits_);
      transfers_[next].state = Transfer::State::kAsked;
      refuse(next, Errc::kNotFound);
      continue;
    }
    serve(next, feeder);
  }
}

/// Bytes of the stripe until something happens: the reader's first MiB is told of when it is there.
std::int64_t CrowdEngine::first_part(std::uint32_t index, std::uint32_t stripe, std::int64_t bytes) const {
  if (nodes_[index].opened || stripe != nodes_[index].position) return bytes;
  return std::min(bytes, static_cast<std::int64_t>(options_.cautious_bytes));
}

void CrowdEngine::milestone(FlowId id) {
  if (!network_.at_milestone(now_, id)) return;
  auto& one = transfers_[id];
  const auto index = network_.flow(id).to;
  auto& node = nodes_[index];
  const auto stripe = one.stripe;
  if (one.rest > 0) {
    network_.go_on(now_, id, std::exchange(one.rest, 0));
    node.opened = true;
    node.window_changed = true;
    return consult(index);
  }
  OXBOW_INVARIANT(!node.have.has(stripe));
  node.have.set(stripe);
  node.window_changed = true;
  one.last_byte = now_;
  network_.release_children(now_, id);
  news(index, stripe, StripeNews::What::kHave);
  if (waits_) serve_next(index);
  if (paths_ && passages_[id].forward) {
    if (node.strategy != nullptr) node.forwarded.push_back(stripe);
    return end_fetch(id, {});
  }
  events_.emplace_back(StripeArrived{one.fetch, stripe});
  ++one.stripe;
  if (one.stripe >= one.stripes.end) return end_fetch(id, {});
  network_.go_on(now_, id, bytes_of(one.stripe));
  news(index, one.stripe, StripeNews::What::kArriving);
  consult(index);
}

/// It is over, and the strategy hears of it with whatever is in `events_` already.
void CrowdEngine::end_fetch(FlowId id, Result<> outcome) {
  const auto one = transfers_[id];
  const bool forwarded = paths_ && passages_[id].forward;
  const bool lease = paths_ && passages_[id].lease;
  const auto from = network_.flow(id).from;
  const auto index = network_.flow(id).to;
  auto& node = nodes_[index];
  if (from == kFromUpstream) {
    if (one.state == Transfer::State::kFlowing && !outcome) news(index, one.stripe, StripeNews::What::kLost);
  } else if (one.state == Transfer::State::kWaiting) {
    std::erase(nodes_[from].waiting, id);
  }
  if (paths_) leave_path(id, outcome);
  // Those that are passed on from it end with it.
  const bool cuts = paths_ ? node.alive && !node.have.has(one.stripe) : from == kFromUpstream;
  if (!outcome && cuts && network_.flow(id).flowing) {
    for (const auto child : network_.uploads(index)) {
      if (network_.flow(child).feeder == id) refuse(child, Errc::kUnavailable);
    }
  }
  network_.end(now_, id);
  std::erase(node.fetches, id);
  if (from == kFromUpstream) --node.from_upstream;
  if (from != kFromUpstream && (one.state == Transfer::State::kFlowing || one.state == Transfer::State::kPassing)) {
    --nodes_[from].serving;
    serve_next(from);
  }
  if (forwarded) return wake(index);
  const bool good = outcome.has_value();
  events_.emplace_back(FetchEnded{one.fetch, std::move(outcome), {}, lease});
  if (good) {
    // The first of a pair to complete ends the other.
    for (const auto other : std::vector(node.fetches)) {
      const auto& pair = transfers_[other];
      if (pair.hedge_of != one.fetch && (one.hedge_of == 0 || pair.fetch != one.hedge_of)) continue;
      return end_fetch(other, fail(Errc::kCancelled, "the other was first"));
    }
  }
  consult(index);
}

}  // namespace oxbow::p2p::sim

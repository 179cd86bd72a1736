// Requests along a path (`fingers`): a stripe that the asked node does not have comes to it from the next of the path,
// is kept, and is given on as it comes; at the path's end the owner says who has it, or that the client may fetch it.
// The decisions are the daemon's (p2p/finger_passing.h, p2p/finger_owner.h); what follows on them is as in
// mirror/peer_paths.cc and mirror/blob_forward.cc. Whoever waits is looked at again by an event, so that nothing here
// calls a strategy.
#include <algorithm>

#include "p2p/finger_passing.h"
#include "p2p/sim/crowd/engine.h"

namespace oxbow::p2p::sim {
namespace {

std::chrono::milliseconds to_ms(Micros micros) { return std::chrono::milliseconds(micros / 1000); }
Micros to_micros(std::chrono::milliseconds ms) { return ms.count() * 1000; }

}  // namespace

FingerOwner& CrowdEngine::owner_at(std::uint32_t index) {
  auto& owner = nodes_[index].owner;
  if (owner == nullptr) owner = std::make_unique<FingerOwner>();
  return *owner;
}

/// A strategy that asks its own node asks it as the owner. Returns how the fetch has ended, if it has.
std::optional<Errc> CrowdEngine::take_own_turn(std::uint32_t index, Fetch& fetch, Passage& passage) {
  using Kind = FingerOwner::Turn::Kind;
  const auto turn = owner_at(index).ask(time(), digest_, fetch.stripes.begin, index + 1, fetch.along->wants);
  fetch.along.reset();
  if (turn.kind == Kind::kNobody) return Errc::kBusy;
  if (turn.kind == Kind::kFetch) {
    passage.lease = true;
    return Errc::kNotFound;
  }
  passage.holder = turn.holder;
  fetch.source = turn.holder;
  return std::nullopt;
}

/// The strategy's own request sets out. Returns how it has ended, if it has.
std::optional<Errc> CrowdEngine::set_out(std::uint32_t index, Fetch& fetch, Passage& passage) {
  const auto& node = nodes_[index];
  for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
    // It has come for another node since the strategy looked, or is coming.
    if (node.have.has(stripe) || std::ranges::find(node.forwarding, stripe) != node.forwarding.end())
      return Errc::kBusy;
  }
  if (!fetch.along) return std::nullopt;
  if (fetch.source == index + 1) return take_own_turn(index, fetch, passage);
  passage.along = std::move(fetch.along);
  passage.along->client = passage.along->wants > 0 ? index + 1 : kNoPeer;
  passage.head_until = now_ + to_micros(passage.along->deadline);
  return std::nullopt;
}

/// Has come to the asked node. It makes that node fetch, so its slot comes first.
void CrowdEngine::request_along(FlowId id) {
  auto& passage = passages_[id];
  auto& one = transfers_[id];
  const auto& flow = network_.flow(id);
  auto& source = nodes_[flow.from];
  const auto deadline = to_micros(passage.along->deadline);
  passage.until = now_ + deadline;
  if (source.serving < slots_) return take_slot(id);
  if (source.waiting.size() >= options_.upload_waiting) {
    ++busy_;
    return refuse(id, Errc::kBusy);
  }
  one.state = Transfer::State::kWaiting;
  source.waiting.push_back(id);
  queue_.push(now_ + std::min(options_.slot_wait, deadline), CrowdEvent::Kind::kSlotWait, id, flow.generation);
}

void CrowdEngine::take_slot(FlowId id) {
  const auto at = network_.flow(id).from;
  const auto stripe = transfers_[id].stripe;
  transfers_[id].state = Transfer::State::kPassing;
  ++nodes_[at].serving;
  if (nodes_[at].have.has(stripe)) return serve(id, kNoFlow);
  if (const auto feeder = arriving_at(at, stripe); feeder != kNoFlow) return serve(id, feeder);
  if (passages_[id].along->path.empty()) return act_as_owner(id);
  pass_on(id);
}

/// From the next of the path; past one that cannot be reached, from the one after it.
void CrowdEngine::pass_on(FlowId id) {
  auto& passage = passages_[id];
  auto& path = passage.along->path;
  const auto left = to_ms(passage.until - now_);
  if (path.empty() || left.count() <= 0) return refuse_passing(id, Errc::kUnavailable, false);
  passage.next = path.front();
  path.erase(path.begin());
  const auto deadline = time_for_next(left, path.empty());
  passage.onward = Along{path, passage.along->client, passage.along->wants, deadline};
  passage.hop_until = now_ + to_micros(deadline);
  ask_hop(id);
}

/// From whom it was given to, or the client is given it.
void CrowdEngine::act_as_owner(FlowId id) {
  using Kind = FingerOwner::Turn::Kind;
  auto& passage = passages_[id];
  const auto left = to_ms(passage.until - now_);
  if (passage.attempts++ >= kOwnerAttempts || left.count() <= 0) return refuse_passing(id, Errc::kBusy, false);
  const auto turn = owner_at(network_.flow(id).from)
                        .ask(time(), digest_, transfers_[id].stripe, passage.along->client, passage.along->wants);
  if (turn.kind == Kind::kFetch) return refuse_passing(id, Errc::kNotFound, true);
  if (turn.kind == Kind::kNobody) return refuse_passing(id, Errc::kBusy, false);
  passage.next = turn.holder;
  passage.onward.reset();
  passage.hop_until = now_ + to_micros(time_for_next(left, true));
  ask_hop(id);
}

/// What brings a stripe to a node, hedges apart.
FlowId CrowdEngine::coming_to(std::uint32_t index, std::uint32_t stripe) const {
  for (const auto id : nodes_[index].fetches) {
    const auto& one = transfers_[id];
    if (one.hedge_of == 0 && stripe >= one.stripe && stripe < one.stripes.end) return id;
  }
  return kNoFlow;
}

StripeComing CrowdEngine::as_coming(FlowId id) const {
  const auto& flow = network_.flow(id);
  const auto& one = transfers_[id];
  StripeComing coming;
  coming.upstream = flow.from == kFromUpstream;
  coming.forward = passages_[id].forward;
  coming.heard = options_.cut_through && flow.flowing && !one.cancelled;
  coming.begun = flow.moved > 0 || flow.rate > 0;
  // Of a forward nothing is settled but when its rate changes.
  const auto last = coming.forward && flow.flowing ? flow.since : one.last_byte;
  coming.since_last = to_ms(flow.rate > 0 ? 0 : now_ - last);
  return coming;
}

/// The stripe is to come through this node, from `next`.
void CrowdEngine::ask_hop(FlowId id) {
  const auto at = network_.flow(id).from;
  const auto stripe = transfers_[id].stripe;
  if (nodes_[at].have.has(stripe) || arriving_at(at, stripe) != kNoFlow) return hop_over(id, std::nullopt, false);
  auto known = coming_to(at, stripe);
  const auto coming = known == kNoFlow ? std::nullopt : std::optional(as_coming(known));
  const auto client = passages_[id].along->client;
  const bool may_wait = client != kNoPeer && client < at + 1;
  const auto turn = turn_at_hop(coming, passages_[id].next == at + 1, may_wait);
  if (turn.give_up) give_up(known);
  if (turn.kind == HopTurn::Kind::kRefuse) return hop_over(id, turn.why, false);
  if (turn.kind == HopTurn::Kind::kGive) return hop_over(id, std::nullopt, false);
  if (now_ >= passages_[id].hop_until) return hop_over(id, Errc::kTimeout, false);
  const bool joins = known != kNoFlow;
  if (!joins) known = forward(id);
  auto& passage = passages_[id];
  passage.waits_for = known;
  passages_[known].waiters.push_back({id, joins, joins && transfers_[known].cancelled});
  queue_.push(passage.hop_until, CrowdEvent::Kind::kPath, id, network_.flow(id).generation);
}

/// A fetch of the asked node on behalf of whoever asked it.
FlowId CrowdEngine::forward(FlowId asker) {
  const auto at = network_.flow(asker).from;
  const auto stripe = transfers_[asker].stripe;
  const auto from = passages_[asker].next - 1;
  const auto id = new_transfer(from, at, {stripe, stripe + 1});
  auto& passage = passages_[id];
  passage.forward = true;
  passage.along = passages_[asker].onward;
  passage.head_until = passages_[asker].hop_until;
  nodes_[at].forwarding.push_back(stripe);
  const auto generation = network_.flow(id).generation;
  queue_.push(passage.head_until, CrowdEvent::Kind::kPath, id, generation);
  queue_.push(now_ + network_.latency(from, at), CrowdEvent::Kind::kRequest, id, generation);
  wake(at);  // the strategy must not want it too
  return id;
}

/// The hop's answer has begun (no `why`), or there is none.
void CrowdEngine::hop_over(FlowId id, std::optional<Errc> why, bool lease) {
  const auto at = network_.flow(id).from;
  const auto stripe = transfers_[id].stripe;
  auto& passage = passages_[id];
  const bool as_owner = !passage.onward;
  if (!why) {
    if (as_owner) owner_at(at).given(time(), digest_, stripe, passage.next);
    if (nodes_[at].have.has(stripe)) return serve(id, kNoFlow);
    auto feeder = arriving_at(at, stripe);
    if (feeder == kNoFlow) feeder = coming_to(at, stripe);
    OXBOW_INVARIANT(feeder != kNoFlow && network_.flow(feeder).flowing);
    return serve(id, feeder);
  }
  if (as_owner) {
    const bool says_nothing = *why == Errc::kBusy || *why == Errc::kCancelled;
    const bool late = *why == Errc::kTimeout && now_ >= passage.hop_until;
    const bool again = !says_nothing && owner_at(at).not_given(time(), digest_, stripe, passage.next, *why, late);
    return again ? act_as_owner(id) : refuse_passing(id, Errc::kBusy, false);
  }
  switch (after_hop(*why, lease)) {
    case AfterHop::kAnswer:
      return refuse_passing(id, *why, lease);
    case AfterHop::kNext:
      return pass_on(id);
    case AfterHop::kEnd:
      return refuse_passing(id, Errc::kUnavailable, false);
  }
}

/// The slot goes to the next, and the answer on its way.
void CrowdEngine::refuse_passing(FlowId id, Errc why, bool lease) {
  const auto at = network_.flow(id).from;
  if (why == Errc::kBusy) ++busy_;
  passages_[id].lease = lease;
  transfers_[id].state = Transfer::State::kAsked;
  --nodes_[at].serving;
  refuse(id, why);
  serve_next(at);
}

void CrowdEngine::give_up(FlowId id) {
  auto& one = transfers_[id];
  if (one.cancelled) return;
  one.ends_with = Errc::kCancelled;
  one.cancelled = true;
  queue_.push(now_, CrowdEvent::Kind::kEnded, id, network_.flow(id).generation);
}

/// The answer of `id` has begun: who waits for it at the node that gets it goes on.
void CrowdEngine::heard(FlowId id) {
  if (!options_.cut_through) return;  // then it is the whole stripe that is waited for
  for (const auto& waiter : std::exchange(passages_[id].waiters, {})) {
    answer_waiter(waiter.flow, {.again = true});
  }
}

void CrowdEngine::answer_waiter(FlowId id, Passage::Answer answer) {
  passages_[id].waits_for = kNoFlow;
  passages_[id].answer = answer;
  queue_.push(now_, CrowdEvent::Kind::kPath, id, network_.flow(id).generation);
}

void CrowdEngine::stop_waiting(FlowId id) {
  const auto waits_for = std::exchange(passages_[id].waits_for, kNoFlow);
  if (waits_for == kNoFlow) return;
  auto& passage = passages_[waits_for];
  std::erase_if(passage.waiters, [id](const auto& waiter) { return waiter.flow == id; });
}

/// Something may have come for a request along a path, or its time is over.
void CrowdEngine::look_at_path(FlowId id) {
  const auto state = transfers_[id].state;
  auto& passage = passages_[id];
  if (state == Transfer::State::kFlowing) return;
  if (passage.head_until >= 0 && now_ >= passage.head_until) return end_fetch(id, fail(Errc::kTimeout, "no answer"));
  if (state != Transfer::State::kPassing || !nodes_[network_.flow(id).from].alive) return;
  if (const auto answer = std::exchange(passage.answer, std::nullopt)) {
    if (answer->again) return ask_hop(id);
    return hop_over(id, answer->why, answer->lease);
  }
  const auto waits_for = passage.waits_for;
  if (waits_for == kNoFlow || now_ < passage.hop_until) return;
  stop_waiting(id);
  const auto& late = passages_[waits_for];
  if (late.forward && !network_.flow(waits_for).flowing && late.waiters.empty()) give_up(waits_for);
  hop_over(id, Errc::kTimeout, false);
}

/// A fetch is over: whoever waits for it at the node hears how, and the owner that found it elsewhere too.
void CrowdEngine::leave_path(FlowId id, Result<>& outcome) {
  const auto index = network_.flow(id).to;
  const auto stripe = transfers_[id].stripe;
  stop_waiting(id);
  auto& passage = passages_[id];
  if (passage.holder != kNoPeer && !outcome) {
    const auto why = outcome.error().code();
    const bool tells = why != Errc::kBusy && why != Errc::kCancelled;
    if (tells && !owner_at(index).not_given(time(), digest_, stripe, passage.holder, why))
      outcome = fail(Errc::kBusy, "who was given the stripe does not have it yet");
  }
  if (passage.forward) std::erase(nodes_[index].forwarding, transfers_[id].stripes.begin);
  for (const auto& waiter : std::exchange(passage.waiters, {})) {
    // A lease is for the client whose request it was; everybody else asks again, as after a fetch that was given up.
    const bool again = outcome || (waiter.joined && (passage.lease || waiter.over));
    const auto why = outcome ? std::nullopt : std::optional(outcome.error().code());
    answer_waiter(waiter.flow, {.why = why, .lease = passage.lease, .again = again});
  }
}

/// What a reader of the node waits for must not depend on a peer that has stopped.
void CrowdEngine::drop_stalled_forwards(std::uint32_t index) {
  if (nodes_[index].forwarding.empty()) return;
  for (const auto id : nodes_[index].fetches) {
    if (passages_[id].forward && is_stalled(as_coming(id))) give_up(id);
  }
}

/// Its strategy is told, when this event is over, of what has come and what it need not want.
void CrowdEngine::wake(std::uint32_t index) {
  nodes_[index].window_changed = true;
  auto& mail = mail_[index];
  if (nodes_[index].strategy == nullptr || mail.wake_queued) return;
  mail.wake_queued = true;
  queue_.push(now_, CrowdEvent::Kind::kWake, index);
}

/// Slots are held by what is sent and by what waits for the next of its path; who waits is known where it waits.
void CrowdEngine::check_paths() const {
  std::vector<std::uint32_t> held(nodes_.size());
  for (std::uint32_t index = 0; index < nodes_.size(); ++index) {
    std::size_t forwards = 0;
    for (const auto id : nodes_[index].fetches) {
      const auto& passage = passages_[id];
      const auto& flow = network_.flow(id);
      const auto state = transfers_[id].state;
      OXBOW_INVARIANT((state == Transfer::State::kFlowing) == flow.flowing && flow.to == index);
      const bool holds = state == Transfer::State::kFlowing || state == Transfer::State::kPassing;
      if (holds && flow.from != kFromUpstream) ++held[flow.from];
      OXBOW_INVARIANT(passage.waits_for == kNoFlow || network_.flow(passage.waits_for).to == flow.from);
      if (state == Transfer::State::kPassing && nodes_[flow.from].alive)
        OXBOW_INVARIANT((passage.waits_for != kNoFlow) != passage.answer.has_value());
      for (const auto& waiter : passage.waiters) OXBOW_INVARIANT(passages_[waiter.flow].waits_for == id);
      if (passage.forward) ++forwards;
    }
    OXBOW_INVARIANT(forwards == nodes_[index].forwarding.size());
  }
  for (std::uint32_t index = 0; index < nodes_.size(); ++index)
    OXBOW_INVARIANT(held[index] == nodes_[index].serving && held[index] <= slots_);
}

}  // namespace oxbow::p2p::sim

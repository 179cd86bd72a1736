#include "p2p/swarm.h"

#include <algorithm>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kCheckEvery = 100ms;  // progress of fetches, while there are any
constexpr auto kRetryEvery = 20ms;   // with room and something wanted that nobody could give

}  // namespace

Swarm::Swarm(StrategyContext context, SwarmOptions options)
    : context_(std::move(context)),
      options_(options),
      random_(context_.seed),
      window_(context_.present.size() == context_.geometry.stripes() ? context_.present
                                                                     : HaveMap(context_.geometry.stripes())),
      neighbours_(context_.geometry.stripes(),
                  {options.peer_fetches, options.per_peer, options.probes, options.probation_share}) {
  const auto bytes = static_cast<double>(context_.geometry.blob_bytes());
  const auto stripe = static_cast<double>(context_.geometry.stripe_bytes());
  hedge_budget_ = std::max(bytes * options_.hedge_share, stripe);
  alone_budget_ = std::max(bytes * options_.alone_share, stripe);
  progress_jitter_ms_ = random_.below(500);
}

std::vector<Action> Swarm::on_event(Time now, const Event& event) {
  now_ = now;
  actions_.clear();
  std::visit([this](const auto& one) { on(one); }, event);
  decide();
  return std::move(actions_);
}

void Swarm::on_events(Time now, std::span<const Event> events, std::vector<Action>& actions) {
  now_ = now;
  actions_.swap(actions);
  for (const auto& event : events) std::visit([this](const auto& one) { on(one); }, event);
  decide();
  actions_.swap(actions);
}

bool Swarm::waits_for_news() const noexcept {
  return reading_ && !in_vain_ && from_peers_ < most_from_peers() && window_.any_open();
}

void Swarm::decide() {
  if (!reading_ || finished_) return;
  if (window_.present().complete()) {
    finish();
    return;
  }
  fill_from_peers();
  review_leases();
  fetch_under_leases();
  fetch_alone();
  announce_if_due();
  arm_timer();
}

void Swarm::on(const WindowChanged& event) {
  may_fetch_ = event.may_fetch;
  const bool was_empty = window_.empty();
  wishes_changed_ = window_.set(event.wanted) || wishes_changed_;
  if (was_empty && !window_.empty()) note_progress();
  if (!event.has_readers) {
    if (reading_) pause();
    return;
  }
  if (!reading_) {
    reading_ = true;
    reading_since_ = now_;
    last_progress_ = now_;
    next_announce_ = now_;
    alone_after_ = now_ + std::chrono::milliseconds(random_.below(500));
  }
}

/// Nobody reads: everything under way ends, what is here stays known.
void Swarm::pause() {
  reading_ = false;
  for (auto& fetch : running_) cancel(fetch);
  for (std::size_t place = 0; place < neighbours_.size(); ++place) {
    auto& one = neighbours_.at(place);
    if (one.watched) act(UnwatchHave{one.id});
    one.watched = false;
    neighbours_.forget_map(one);
  }
  for (const auto& lease : leases_) released_.push_back(lease.span);
  leases_.clear();
  if (joined_) announce(window_.present().count() > 0 ? Interest::kHolding : Interest::kLeft);
  joined_ = false;
  answers_ = 0;
  timer_.reset();
}

/// All of the blob is here.
void Swarm::finish() {
  pause();
  finished_ = true;
}

void Swarm::on(const SlotsFree& event) {
  if (event.source == kUpstream) upstream_free_ = event.slots;
}

void Swarm::on(const StripeArrived& event) {
  window_.arrived(event.stripe);
  note_progress();
  if (auto* fetch = running_.find(event.fetch); fetch != nullptr) {
    if (fetch->source == kUpstream) {
      upstream_pause_ = 0ms;
      unspread_.push_back(event.stripe);
    } else {
      stripe_from_peer(*fetch);
    }
  }
}

void Swarm::on(const FetchEnded& event) {
  const auto ended = running_.take(event.fetch);
  if (!ended) return;
  const auto& [fetch, covered] = *ended;
  // A peer without a slot still has the stripe: nothing is missing that was not before.
  wishes_changed_ = wishes_changed_ || event.outcome || event.outcome.error().code() != Errc::kBusy;
  for (auto stripe = fetch.stripes.begin; !covered && stripe < fetch.stripes.end; ++stripe) window_.unassign(stripe);
  if (fetch.source != kUpstream) {
    peer_fetch_ended(fetch, event);
    return;
  }
  if (!event.outcome && event.outcome.error().code() == Errc::kOutOfRange) {
    leave_the_stream();
    return;
  }
  if (!event.outcome && event.outcome.error().code() != Errc::kCancelled) {
    // Somebody else may have better luck with this span.
    upstream_pause_ = std::clamp<std::chrono::milliseconds>(2 * upstream_pause_, 250ms, 4'000ms);
    upstream_after_ = now_ + upstream_pause_;
    drop_lease(spans_.of(fetch.stripes.begin), true);
    next_announce_ = std::min(next_announce_, now_);
  }
}

void Swarm::on(const StripeLost& event) {
  if (event.stripe >= window_.present().size()) return;
  window_.lost(event.stripe);
  finished_ = false;
}

void Swarm::on(const TimerFired& event) {
  timer_.reset();
  in_vain_ = false;
  for (const auto& progress : event.progress) check_progress(progress);
  refresh_neighbours();
  // One that has not said a word yet is not waited for longer because something else comes from it: the others leave it
  // now, and without a coordinator and neighbours this node would soon fetch on its own.
  if (asked_ != 0 && answers_ == 0 && coordinator_ != kNoPeer && now_ - last_announce_ >= kLongestQuiet) {
    asked_ = 0;
    leave_coordinator(coordinator_);
  }
}

void Swarm::on(const PeersChanged& event) {
  peers_ = event.peers;
  ranked_ = peers_ == nullptr ? std::vector<PeerId>() : peers_->ranked(key_of(context_.digest), context_.replicas);
  for (std::size_t place = 0; place < neighbours_.size();) {
    auto& one = neighbours_.at(place);
    const auto* peer = peers_ == nullptr ? nullptr : peers_->find(one.id);
    one.barred = peer != nullptr && (peer->state == PeerState::kCircuitOpen || peer->state == PeerState::kSilent);
    // One that does not answer the table either stays, away: of what it holds and leases the coordinator learns by its
    // being reported alone.
    if (one.barred && !one.away) peer_failed(one, 1'000ms, false);
    if (one.barred || (peer != nullptr && peer->state == PeerState::kEligible)) {
      sync_neighbour(one);
      ++place;
      continue;
    }
    // What runs from a peer that only drains may end; it is asked for nothing more.
    const bool bad = peer == nullptr || peer->state != PeerState::kDraining;
    for (auto& fetch : running_) {
      if (bad && fetch.source == one.id) cancel(fetch);
    }
    if (one.watched) act(UnwatchHave{one.id});
    neighbours_.remove(one.id);
  }
  choose_coordinator();
}

void Swarm::on(const HaveChanged& event) {
  auto* one = neighbours_.find(event.peer);
  if (one == nullptr) return;
  if (event.update.load) one->load_at = now_;
  wishes_changed_ = wishes_changed_ || !event.update.lost.empty() || event.update.map;
  if (neighbours_.apply(*one, event.update)) last_spread_ = now_;
  if (one->complete && one->watched) {
    act(UnwatchHave{one->id});
    one->watched = false;
  }
}

void Swarm::on(const HaveNews& event) {
  PeerId last = kNoPeer;
  std::optional<std::uint32_t> place;
  for (const auto& news : event.news) {
    if (news.peer != last) place = neighbours_.place_of(news.peer);
    last = news.peer;
    if (!place) continue;
    if (news.what == StripeNews::What::kLoad) neighbours_.at(*place).load_at = now_;
    wishes_changed_ = wishes_changed_ || news.what == StripeNews::What::kLost;
    if (neighbours_.apply(*place, news)) last_spread_ = now_;
    if (!neighbours_.complete_at(*place)) continue;
    auto& one = neighbours_.at(*place);
    if (one.watched) act(UnwatchHave{one.id});
    one.watched = false;
  }
}

void Swarm::on(const HaveEnded& event) {
  auto* one = neighbours_.find(event.peer);
  if (one == nullptr || !one->watched) return;
  one->watched = false;
  if (one->complete) return;
  // No room for one more stream, here or there: the peer is well, and what is known of it stays. One that goes away
  // says the same, but ends its streams first, and with that its map is forgotten.
  if (event.why.code() == Errc::kLimit || event.why.code() == Errc::kBusy) {
    one->watch_after = now_ + 1s;
    return;
  }
  neighbours_.forget_map(*one);
  wishes_changed_ = true;
  if (event.why.code() == Errc::kNotFound) {
    one->watch_after = now_ + 300ms;
    denied(*one);
  } else {
    peer_failed(*one, 500ms, event.why.code() != Errc::kTimeout);
  }
}

void Swarm::on(const Replied& event) {
  if (event.question == 0) return;
  const bool successor = event.question == asked_successor_;
  if (successor)
    asked_successor_ = 0;
  else if (event.question == asked_)
    asked_ = 0;
  else
    return;
  if (event.reply) {
    reply_from(*event.reply, successor);
    return;
  }
  if (successor || !reading_) return;
  if (event.reply.error().code() == Errc::kTimeout) note_wait(now_ - last_announce_);
  leave_coordinator(event.peer);
}

void Swarm::arm_timer() {
  auto at = asked_ != 0 || coordinator_ == kNoPeer ? now_ + 1'000ms : std::max(next_announce_, now_ + 1ms);
  const bool room = from_peers_ < most_from_peers() && window_.any_open();
  if (!window_.empty() || !running_.empty() || !leases_.empty())
    at = std::min(at, now_ + (room ? kRetryEvery : kCheckEvery));
  if (timer_ && *timer_ <= at && *timer_ > now_) return;
  timer_ = at;
  act(SetTimer{at});
}

}  // namespace oxbow::p2p

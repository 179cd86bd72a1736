#include "p2p/fingers.h"

#include <algorithm>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kCheckEvery = 100ms;
constexpr auto kRetryEvery = 30ms;

}  // namespace

Fingers::Fingers(StrategyContext context, FingersOptions options)
    : context_(std::move(context)),
      options_(options),
      random_(context_.seed),
      window_(context_.present.size() == context_.geometry.stripes() ? context_.present
                                                                     : HaveMap(context_.geometry.stripes())) {
  const auto bytes = static_cast<double>(context_.geometry.blob_bytes());
  const auto stripe = static_cast<double>(context_.geometry.stripe_bytes());
  hedge_budget_ = std::max(bytes * options_.hedge_share, stripe);
  alone_budget_ = std::max(bytes * options_.alone_share, stripe);
}

std::vector<Action> Fingers::on_event(Time now, const Event& event) {
  now_ = now;
  actions_.clear();
  std::visit([this](const auto& one) { on(one); }, event);
  decide();
  return std::move(actions_);
}

void Fingers::decide() {
  if (!reading_ || peers_ == nullptr || peers_->peers().empty()) return;
  if (window_.present().complete()) {
    if (!std::exchange(finished_, true)) pause();
    return;
  }
  std::erase_if(away_, [this](const auto& one) { return one.until <= now_; });
  if (now_ >= next_announce_ && asked_ == 0) announce(Interest::kWanting);
  fetch_led();
  while (from_peers_ < options_.peer_fetches && ask_one()) {
  }
  fetch_alone();
  arm_timer();
}

void Fingers::on(const WindowChanged& event) {
  may_fetch_ = event.may_fetch;
  const bool was_empty = window_.empty();
  const bool changed = window_.set(event.wanted);
  if (was_empty && !window_.empty()) last_progress_ = now_;
  if (!event.has_readers) {
    if (reading_) pause();
    return;
  }
  if (!std::exchange(reading_, true)) {
    last_progress_ = now_;
    next_announce_ = now_;
    alone_after_ = now_ + std::chrono::milliseconds(random_.below(500));
  }
  if (!changed) return;
  // Spans that nobody reads any more are forgotten, once nothing of them is under way.
  std::erase_if(spans_, [this](const auto& entry) {
    const auto touches = [&](StripeRange range) {
      return Geometry::span_of(range.begin) <= entry.first && entry.first <= Geometry::span_of(range.end - 1);
    };
    return std::ranges::none_of(window_.ranges(), touches) &&
           std::ranges::none_of(running_, [&](const auto& fetch) { return touches(fetch.stripes); });
  });
  for (const auto& range : window_.ranges()) {
    for (auto span = Geometry::span_of(range.begin); span <= Geometry::span_of(range.end - 1); ++span) spans_[span];
  }
}

/// Nobody reads, or all of it is here: everything under way ends.
void Fingers::pause() {
  reading_ = false;
  for (auto& fetch : running_) cancel(fetch);
  announce(window_.present().count() > 0 ? Interest::kHolding : Interest::kLeft);
  spans_.clear();
  window_.set({});
  timer_.reset();
}

void Fingers::on(const SlotsFree& event) {
  if (event.source == kUpstream) upstream_free_ = event.slots;
}

void Fingers::on(const StripeArrived& event) {
  window_.arrived(event.stripe);
  last_progress_ = now_;
  const auto* fetch = running_.find(event.fetch);
  if (fetch == nullptr || fetch->source == kUpstream) return;
  const auto took = std::max<std::int64_t>(1, (now_ - fetch->started).count());
  const auto rate = static_cast<double>(bytes_of(fetch->stripes)) * 1000 / static_cast<double>(took);
  typical_ = typical_ <= 0 ? rate : 0.9 * typical_ + 0.1 * rate;
}

void Fingers::on(const FetchEnded& event) {
  const auto ended = running_.take(event.fetch);
  if (!ended) return;
  const auto& [fetch, covered] = *ended;
  for (auto stripe = fetch.stripes.begin; !covered && stripe < fetch.stripes.end; ++stripe) window_.unassign(stripe);
  if (fetch.source == kUpstream) {
    upstream_fetch_ended(fetch, event);
  } else {
    --from_peers_;
    peer_fetch_ended(fetch, event);
  }
}

void Fingers::on(const StripeLost& event) {
  if (event.stripe >= window_.present().size()) return;
  window_.lost(event.stripe);
  finished_ = false;
}

void Fingers::on(const TimerFired& event) {
  timer_.reset();
  for (const auto& progress : event.progress) check_progress(progress);
}

void Fingers::on(const PeersChanged& event) {
  peers_ = event.peers;
  if (peers_ == nullptr) return;
  // What runs from a peer that is gone, or must not be believed, is asked for elsewhere.
  for (auto& fetch : running_) {
    const auto* peer = fetch.source == kUpstream ? nullptr : peers_->find(fetch.source);
    const bool fine = peer != nullptr && (peer->state == PeerState::kEligible || peer->state == PeerState::kDraining ||
                                          peer->state == PeerState::kCircuitOpen);
    if (fetch.source != kUpstream && !fine) cancel(fetch);
  }
}

/// The blob's coordinator is told who reads, and says who has all of it: after a restart of owners, or when another
/// strategy runs on some nodes, it knows holders that no owner remembers.
void Fingers::announce(Interest interest) {
  if (peers_ == nullptr) return;
  const auto ranked = peers_->ranked(key_of(context_.digest), context_.replicas);
  if (ranked.empty()) return;
  Announce message;
  message.digest = context_.digest;
  message.size = context_.geometry.blob_bytes();
  message.interest = interest;
  message.have = window_.present();
  message.want_neighbours = interest == Interest::kWanting;
  const auto coordinator = ranked[silent_coordinators_ % ranked.size()];
  if (interest == Interest::kWanting) {
    asked_ = ++questions_;
    asked_at_ = now_;
  }
  act(Send{coordinator, std::move(message), interest == Interest::kWanting ? asked_ : 0});
}

void Fingers::on(const Replied& event) {
  if (event.question == 0 || event.question != asked_) return;
  asked_ = 0;
  next_announce_ = now_ + std::max<std::chrono::milliseconds>(event.reply ? event.reply->again : 0ms, 500ms);
  if (!event.reply) {
    ++silent_coordinators_;
    next_announce_ = now_ + 1'000ms;
    return;
  }
  wanters_ = std::max(event.reply->wanters, 1U);
  holders_.clear();
  for (const auto& other : event.reply->neighbours) {
    const auto* peer = other.complete && peers_ != nullptr ? peers_->find(other.name) : nullptr;
    if (peer != nullptr && !peers_->is_self(*peer)) holders_.push_back(peer->id);
  }
}

std::uint64_t Fingers::bytes_of(StripeRange stripes) const {
  return context_.geometry.stripe(stripes.end - 1).end - context_.geometry.stripe(stripes.begin).begin;
}

void Fingers::arm_timer() {
  const bool room = from_peers_ < options_.peer_fetches && window_.any_open();
  const auto at = now_ + (room ? kRetryEvery : kCheckEvery);
  if (timer_ && *timer_ <= at && *timer_ > now_) return;
  timer_ = at;
  act(SetTimer{at});
}

}  // namespace oxbow::p2p

// Swarm, the side of the peers: whom to ask for what, and what their answers teach.
#include <algorithm>

#include "p2p/swarm.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kRingGivesWay = 1'000ms;
constexpr std::uint32_t kReplacedAtOnce = 8;  // neighbours that answer, by new ones

}  // namespace

/// The ring's bound gives way before a pull stands still.
bool Swarm::may_ask_anybody() const { return !options_.ranked_only || now_ - last_progress_ >= kRingGivesWay; }

void Swarm::fill_from_peers() {
  if (peers_ == nullptr) return;
  const bool anybody = may_ask_anybody();
  while (from_peers_ < most_from_peers()) {
    const auto choice = neighbours_.pick(now_, window_, anybody, *peers_, typical_, random_);
    in_vain_ = !choice;
    if (!choice) return;
    fetch_from(*choice, 0);
  }
}

void Swarm::fetch_from(const SwarmChoice& choice, FetchId hedge_of) {
  auto& one = neighbours_.at(choice.place);
  Running fetch;
  fetch.id = next_id_++;
  fetch.source = one.id;
  fetch.stripes = {choice.stripe, choice.stripe + 1};
  fetch.hedge_of = hedge_of;
  fetch.cut_through = choice.cut_through;
  fetch.started = now_;
  ++one.outstanding;
  ++from_peers_;
  window_.assign(choice.stripe);
  Fetch action{fetch.id, one.id, fetch.stripes};
  if (hedge_of != 0) action.hedge_of = hedge_of;
  running_.add(fetch);
  act(std::move(action));
}

void Swarm::add_neighbour(std::string_view name, bool complete) {
  const auto* peer = peers_ == nullptr ? nullptr : peers_->find(name);
  if (peer == nullptr || peers_->is_self(*peer) || peer->state != PeerState::kEligible) return;
  auto* one = neighbours_.find(peer->id);
  if (one == nullptr) {
    if (neighbours_.size() >= std::min<std::size_t>(options_.neighbours, SwarmNeighbours::kMost)) {
      const auto worst = neighbours_.worst(replaced_ < kReplacedAtOnce ? &random_ : nullptr);
      if (!worst) return;
      ++replaced_;
      if (neighbours_.find(*worst)->watched) act(UnwatchHave{*worst});
      neighbours_.remove(*worst);
    }
    one = &neighbours_.add(peer->id);
    // It may have been one before, and something of it be under way still.
    for (const auto& fetch : running_) one->outstanding += fetch.source == peer->id ? 1 : 0;
    sync_neighbour(*one);
  }
  if (complete && !one->complete && !one->is_denied(now_)) {
    neighbours_.set_complete(*one);
    if (one->watched) act(UnwatchHave{one->id});
    one->watched = false;
  }
  watch(*one);
}

void Swarm::sync_neighbour(SwarmNeighbour& one) {
  const auto* peer = peers_->find(one.id);
  one.near = peers_->near(*peer);
  one.vetted = peer->vetted;
  neighbours_.set_ranked(one, std::ranges::find(ranked_, one.id) != ranked_.end());
  if (one.goodput <= 0) one.goodput = peer->goodput;
  if (one.latency_ms <= 0) one.latency_ms = peer->latency_ms;
}

void Swarm::watch(SwarmNeighbour& one) {
  if (one.watched || one.complete || one.away || now_ < one.watch_after) return;
  one.watched = true;
  one.asked_since = now_;
  act(WatchHave{one.id});
}

/// Those whose time away is over come back; streams that ended are opened again.
void Swarm::refresh_neighbours() {
  if (!reading_) return;
  for (std::size_t place = 0; place < neighbours_.size(); ++place) {
    auto& one = neighbours_.at(place);
    if (one.away && !one.barred && now_ >= one.away_until) neighbours_.set_back(one);
    watch(one);
  }
}

/// It has lost what the coordinator says that it has, or never had it. Its own word counts, and it is reported, or
/// nobody would be given a lease of what only it is said to have.
void Swarm::denied(SwarmNeighbour& one) {
  one.denied_until = now_ + SwarmNeighbour::kDeniedFor;
  wishes_changed_ = true;
}

void Swarm::peer_failed(SwarmNeighbour& one, std::chrono::milliseconds for_at_least, bool broken) {
  one.broken = broken;
  wishes_changed_ = true;
  neighbours_.failed(one, now_, for_at_least);
  // Whoever else is asked of this peer waits in vain: at once, not when its own time is up.
  for (auto& fetch : running_) {
    if (fetch.source == one.id && fetch.bytes == 0) cancel(fetch);
  }
}

void Swarm::stripe_from_peer(const Running& fetch) {
  auto* one = neighbours_.find(fetch.source);
  if (one == nullptr) return;
  SwarmNeighbours::served(*one);
  one->moved_at = now_;
  stuck_ = false;
  if (fetch.cut_through || fetch.hedge_of != 0) return;  // its speed is upstream's, or only a tail's
  const auto ms = static_cast<double>(std::max<std::int64_t>((now_ - fetch.started).count(), 1));
  const double rate = static_cast<double>(stripe_bytes(fetch.stripes.begin)) / ms * 1000;
  SwarmNeighbours::learn_speed(*one, rate, typical_);
  review_crowd();
}

void Swarm::peer_fetch_ended(const Running& fetch, const FetchEnded& event) {
  --from_peers_;
  auto* one = neighbours_.find(fetch.source);
  if (one != nullptr) --one->outstanding;
  if (event.outcome || one == nullptr) return;
  switch (event.outcome.error().code()) {
    case Errc::kCancelled:
      break;
    case Errc::kBusy:
      neighbours_.was_busy(*one, now_, usual_time(static_cast<double>(stripe_bytes(fetch.stripes.begin))), random_);
      for (const auto id : event.alternatives) {
        const auto* peer = peers_ == nullptr ? nullptr : peers_->find(id);
        if (peer != nullptr && neighbours_.find(id) == nullptr) add_neighbour(peer->member.name, false);
      }
      break;
    case Errc::kNotFound: {
      const bool whole = one->complete;
      neighbours_.forget_stripe(*one, fetch.stripes.begin);
      // Whole again within that time it can only be by a map of its own, which is no better than what it gives.
      if (whole && one->is_denied(now_)) peer_failed(*one, 1'000ms, false);
      // Of a large blob a span may have been evicted: the rest is taken from it, as its have stream says.
      if (whole) denied(*one);
      watch(*one);
      break;
    }
    default:
      // What came through it may have broken off before it.
      peer_failed(*one, 1'000ms, event.outcome.error().code() != Errc::kTimeout && !fetch.cut_through);
  }
}

}  // namespace oxbow::p2p

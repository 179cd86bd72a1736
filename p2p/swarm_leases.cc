// Swarm, the side of upstream: the coordinator, its leases, and what is done without it.
#include <algorithm>

#include "p2p/swarm.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSpansAsked = 16;
constexpr std::size_t kReported = 16;
constexpr std::uint32_t kNamedAtStart = 3;  // announcements that ask for neighbours whether or not there are enough,
constexpr auto kNameAgain = 3'000ms;        // and then again so often
constexpr auto kAskEvery = 50ms;            // new wishes are told at once, but not more often
constexpr auto kIdleLease = 150ms;          // a lease under which nothing can be fetched is given back
constexpr auto kFirstMap = 300ms;           // upstream waits for the first map of a neighbour
constexpr auto kBroken = 300ms;  // a neighbour whose connection broke, and that has sent nothing since, is out of reach
constexpr auto kSilentFor = 10'000ms;  // a coordinator that did not answer is not asked
constexpr auto kTakeOver = 3'000ms;    // after a new coordinator: what arrives somewhere is somebody's lease
constexpr std::size_t kUnspread = 8;   // stripes that only this node has: it holds back
constexpr std::size_t kUnspreadKept = 256;
constexpr auto kCatchingUp = 500ms;     // but not for neighbours that get nothing at all
constexpr auto kRankedFirst = 250ms;    // `ring`: until it is known whether a ranked holder wants the blob too
constexpr auto kStuckRanked = 2'000ms;  // `ring`: then the others may fetch
constexpr auto kStream = 2'000ms;       // without news of the node that streams the blob: another takes over
constexpr auto kStuckWithoutHolder = 3'000ms;
constexpr auto kStuck = 5'000ms;  // somebody has had what is wanted for a while, and it does not come;
constexpr auto kStuckNews = 1'000ms;
constexpr auto kStuckUpstream = 10'000ms;  // nobody has it: who has the lease may wait for a registry that thinks

}  // namespace

Time Swarm::silent_until(PeerId id) const {
  const auto one = std::ranges::find(silent_, id, &Silent::peer);
  return one == silent_.end() ? Time{0} : one->until;
}

void Swarm::mark_silent(PeerId id) {
  std::erase_if(silent_, [id](const Silent& one) { return one.peer == id; });
  silent_.push_back({id, now_ + kSilentFor});
}

/// The first of the ranked ones that is not known to be silent; if all are, the one that may speak again soonest.
void Swarm::choose_coordinator() {
  std::erase_if(silent_, [this](const Silent& one) { return one.until <= now_; });
  PeerId best = kNoPeer;
  for (const auto id : ranked_) {
    if (best == kNoPeer || silent_until(id) < silent_until(best)) best = id;
  }
  no_coordinator_ = best == kNoPeer || silent_until(best) > now_;
  if (best == coordinator_) return;
  const auto* before = peers_ == nullptr ? nullptr : peers_->find(coordinator_);
  const auto* known = neighbours_.find(coordinator_);
  if (wanters_ > 0 && known != nullptr && !known->complete) --wanters_;
  if (joined_ && (before == nullptr || before->state != PeerState::kEligible)) {
    took_over_ = now_;
    // The table tries it again soon: it is not gone back to before it has been well for a while.
    if (before != nullptr && before->state != PeerState::kDraining) mark_silent(coordinator_);
  }
  coordinator_ = best;
  asked_ = 0;
  answers_ = 0;
  successor_done_ = false;
  last_ask_.clear();
  if (reading_) next_announce_ = now_;
}

void Swarm::leave_coordinator(PeerId silent) {
  mark_silent(silent);
  took_over_ = now_;
  choose_coordinator();
  next_announce_ = no_coordinator_ ? now_ + 1'000ms : now_;
}

bool Swarm::missing_everywhere(std::uint32_t stripe) const {
  return window_.open(stripe) && !neighbours_.somewhere(stripe);
}

bool Swarm::has_lease(std::uint32_t span) const {
  return std::ranges::find(leases_, span, &Lease::span) != leases_.end();
}

/// One node that fetches what nobody else has come to want leaves its own uplink as the only way to it. It waits, while
/// the others catch up, for them to come into the part where they fetch too.
bool Swarm::runs_ahead() {
  std::erase_if(unspread_, [this](std::uint32_t stripe) {
    return neighbours_.somewhere(stripe) || !window_.present().has(stripe);
  });
  if (unspread_.size() > kUnspreadKept) unspread_.erase(unspread_.begin(), unspread_.end() - kUnspreadKept);
  return unspread_.size() >= kUnspread && now_ - last_spread_ < kCatchingUp;
}

bool Swarm::may_ask() const {
  if (!may_fetch_ || holds_back_ || now_ < upstream_after_) return false;
  if (!options_.ranked_only || std::ranges::find(ranked_, peers_->self()) != ranked_.end()) return true;
  // `ring`: the ranked holders fetch, as long as any of them wants the blob and it goes on.
  if (now_ - reading_since_ < kRankedFirst) return false;
  return !neighbours_.any_ranked_lives() || now_ - last_progress_ >= kStuckRanked;
}

/// Upstream sends this blob from its begin, whatever range it is asked for. Whoever has the lease of the first span
/// streams all of it, and the others have it from there.
void Swarm::leave_the_stream() {
  whole_only_ = true;
  for (std::size_t i = leases_.size(); i > 0; --i) {
    if (leases_[i - 1].span != 0) drop_lease(leases_[i - 1].span, true);
  }
}

bool Swarm::stream_runs() const { return now_ - std::max(last_progress_, last_spread_) < kStream; }

/// By the last coordinator's word, which may be wrong, and at least those that this node knows itself.
std::uint32_t Swarm::wanters_known() const {
  std::uint32_t known = 1;
  for (std::size_t place = 0; place < neighbours_.size(); ++place) {
    const auto& one = neighbours_.at(place);
    const bool silent = one.away || silent_until(one.id) > now_;
    known += silent || one.complete ? 0 : 1;
  }
  return std::max(known, wanters_);
}

bool Swarm::takes_over() const { return took_over_ != Time{0} && now_ - took_over_ < kTakeOver; }

/// The spans that this node wants, nobody near has and no lease of its own covers; most urgent first. Where upstream
/// gives only the whole, one, and only when it does not come by itself.
std::vector<std::uint32_t> Swarm::spans_to_ask() const {
  std::vector<std::uint32_t> asks;
  if (!may_ask() || (whole_only_ && stream_runs())) return asks;
  const bool careful = takes_over();
  for (const auto& range : window_.ranges()) {
    for (auto stripe = range.begin; stripe < range.end;) {
      const auto span = spans_.of(stripe);
      const auto end = spans_.end(span, range.end);
      bool missing = false;
      bool somebodys = has_lease(span) || std::ranges::find(asks, span) != asks.end();
      for (; stripe < end; ++stripe) {
        missing = missing || missing_everywhere(stripe);
        somebodys = somebodys || (careful && neighbours_.arriving_somewhere(stripe));
      }
      if (missing && !somebodys) asks.push_back(span);
      if (asks.size() >= (whole_only_ ? 1 : kSpansAsked)) return asks;
    }
  }
  return asks;
}

std::uint64_t Swarm::bytes_of_span(std::uint32_t span) const {
  std::uint64_t bytes = 0;
  const auto end = spans_.end(span, window_.present().size());
  for (auto stripe = spans_.begin(span); stripe < end; ++stripe) {
    if (window_.present().has(stripe)) bytes += stripe_bytes(stripe);
  }
  for (const auto& fetch : running_) {
    if (spans_.of(fetch.stripes.begin) != span) continue;
    // Of a run, `bytes` counts from its beginning; what has arrived of it is counted above.
    std::uint64_t arrived = 0;
    for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
      if (window_.present().has(stripe)) arrived += stripe_bytes(stripe);
    }
    bytes += fetch.bytes - std::min(fetch.bytes, arrived);
  }
  return bytes;
}

void Swarm::announce(Interest interest) {
  if (coordinator_ == kNoPeer) return;
  Announce message;
  message.digest = context_.digest;
  message.size = context_.geometry.blob_bytes();
  message.interest = interest;
  message.have = window_.present();
  message.may_fetch = may_fetch_;
  message.released = std::move(released_);
  released_.clear();
  // Later ones too: whoever came after this node can be known to nobody else, and may have what nobody near has.
  message.want_neighbours =
      interest == Interest::kWanting && (neighbours_.live() < options_.neighbours * 4 / 5 ||
                                         times_named_ < kNamedAtStart || now_ - last_named_ >= kNameAgain);
  if (interest == Interest::kWanting) {
    message.ask = spans_to_ask();
    last_ask_ = message.ask;
    for (const auto& lease : leases_) message.leases.push_back({lease.span, bytes_of_span(lease.span)});
    if (takes_over()) message.wanters = wanters_known();
    const auto report = [&](PeerId id, bool gone) {
      const auto* peer = peers_ == nullptr ? nullptr : peers_->find(id);
      if (peer == nullptr || message.unreachable.size() >= kReported) return;
      const auto& name = peer->member.name;
      if (std::ranges::find(message.unreachable, name) == message.unreachable.end())
        message.unreachable.push_back(name);
      if (gone) message.gone.push_back(name);
    };
    const auto out_of_reach = silence();
    for (const auto& one : silent_) {
      if (one.until > now_) report(one.peer, false);
    }
    for (std::size_t place = 0; place < neighbours_.size(); ++place) {
      const auto& one = neighbours_.at(place);
      // On full links a fetch stands still for a second from a peer that is there: only silence says that it is not.
      const auto silent = now_ - std::max({one.asked_since, one.load_at, one.moved_at});
      const bool no_answer = one.away || (one.watched && !one.mapped);
      const bool gone = one.away && one.broken;
      if (no_answer && silent > (gone ? kBroken : out_of_reach)) report(one.id, gone);
    }
    // What is asked for is nowhere by what they themselves say. Last: who has only just come knows no blob yet either.
    for (std::size_t place = 0; place < neighbours_.size(); ++place) {
      const auto& one = neighbours_.at(place);
      if (one.is_denied(now_) && one.moved_at <= one.denied_until - SwarmNeighbour::kDeniedFor) report(one.id, false);
    }
    joined_ = true;
    asked_ = ++questions_;
  }
  last_announce_ = now_;
  next_announce_ = now_ + 1'000ms;
  act(Send{coordinator_, std::move(message), interest == Interest::kWanting ? asked_ : 0, coordinator_silence()});
}

void Swarm::announce_if_due() {
  if (asked_ != 0 || coordinator_ == kNoPeer) return;
  if (no_coordinator_) choose_coordinator();
  bool due = now_ >= next_announce_ || !released_.empty();
  if (!due && !wishes_changed_) return;
  holds_back_ = runs_ahead();
  if (!due && now_ - last_announce_ >= kAskEvery) {
    wishes_changed_ = holds_back_;
    // A new wish: the window has moved on, or what somebody had is gone.
    const auto asks = spans_to_ask();
    due = std::ranges::any_of(
        asks, [this](std::uint32_t span) { return std::ranges::find(last_ask_, span) == last_ask_.end(); });
  }
  if (due) announce(Interest::kWanting);
}

void Swarm::reply_from(const AnnounceReply& reply, bool successor) {
  bool holders = false;
  replaced_ = 0;
  if (!reply.neighbours.empty()) {
    ++times_named_;
    last_named_ = now_;
  }
  for (const auto& one : reply.neighbours) {
    holders = holders || one.complete || one.stripes > 0;
    add_neighbour(one.name, one.complete);
  }
  if (successor) return;
  no_coordinator_ = false;
  wanters_ = reply.wanters;
  // This node's own answers say nothing of the links.
  if (peers_ != nullptr && coordinator_ != peers_->self()) {
    ++answers_;
    note_wait(now_ - last_announce_);
  }
  next_announce_ = now_ + std::clamp<std::chrono::milliseconds>(reply.again, 50ms, 10'000ms);
  if (!reading_ || finished_) return;
  for (const auto span : reply.lost) {
    if (!has_lease(span)) continue;
    drop_lease(span, false);
    for (auto& fetch : running_) {
      // What goes on without a lease does so because the coordinator was of no help.
      if (fetch.source == kUpstream && !fetch.unleased && spans_.of(fetch.stripes.begin) == span) cancel(fetch);
    }
  }
  for (const auto& grant : reply.granted) {
    if (grant.span >= spans_.count(window_.present().size()) || has_lease(grant.span)) continue;
    if (whole_only_ && stream_runs()) {  // it was asked for before that was known
      released_.push_back(grant.span);
      continue;
    }
    leases_.push_back({grant.span, Time{0}});
    stuck_ = false;
  }
  // It has only just come up: whoever coordinated before it may know holders.
  if (reply.fresh && !holders && !successor_done_) {
    successor_done_ = true;
    for (const auto id : ranked_) {
      if (id == coordinator_ || (peers_ != nullptr && id == peers_->self())) continue;
      asked_successor_ = ++questions_;
      Announce question;
      question.digest = context_.digest;
      question.size = context_.geometry.blob_bytes();
      question.have = window_.present();
      act(Send{id, std::move(question), asked_successor_});
      break;
    }
  }
}

void Swarm::drop_lease(std::uint32_t span, bool tell) {
  if (std::erase_if(leases_, [span](const Lease& lease) { return lease.span == span; }) > 0 && tell)
    released_.push_back(span);
}

/// Leases under which nothing is left to do are given back.
void Swarm::review_leases() {
  for (std::size_t i = 0; i < leases_.size();) {
    auto& lease = leases_[i];
    const auto span = lease.span;
    const auto end = spans_.end(span, window_.present().size());
    bool busy = false;
    bool settled = true;  // every stripe is here or at somebody else's
    for (auto stripe = spans_.begin(span); stripe < end; ++stripe) {
      busy = busy || missing_everywhere(stripe);
      settled = settled && (window_.present().has(stripe) || neighbours_.somewhere(stripe));
    }
    for (const auto& fetch : running_)
      busy = busy || (fetch.source == kUpstream && spans_.of(fetch.stripes.begin) == span);
    if (busy) lease.idle_since = Time{0};
    if (!busy && lease.idle_since == Time{0}) lease.idle_since = now_;
    if (!busy && (settled || now_ - lease.idle_since >= kIdleLease))
      drop_lease(span, true);
    else
      ++i;
  }
}

/// A neighbour's first map is on its way: it may have what we are about to fetch.
bool Swarm::maps_awaited() const {
  for (std::size_t place = 0; place < neighbours_.size(); ++place) {
    const auto& one = neighbours_.at(place);
    const bool silent = one.watched && !one.mapped && !one.away && !one.is_denied(now_);
    if (silent && now_ - one.asked_since < kFirstMap) return true;
  }
  return false;
}

bool Swarm::fetch_run(StripeRange run, bool unleased) {
  if (upstream_free_ == 0) return false;
  --upstream_free_;
  Running fetch;
  fetch.id = next_id_++;
  fetch.stripes = run;
  fetch.unleased = unleased;
  fetch.started = now_;
  for (auto stripe = run.begin; stripe < run.end; ++stripe) window_.assign(stripe);
  running_.add(fetch);
  act(Fetch{fetch.id, kUpstream, run});
  return true;
}

void Swarm::fetch_under_leases() {
  if (!may_fetch_ || upstream_free_ == 0 || leases_.empty() || now_ < upstream_after_) return;
  if (asked_successor_ != 0 || maps_awaited()) return;
  const auto upstream = [](const Running& fetch) { return fetch.source == kUpstream && !fetch.cancelled; };
  if (whole_only_ && std::ranges::any_of(running_, upstream)) return;  // that one brings all of it
  for (const auto& lease : leases_) {
    const auto end = spans_.end(lease.span, window_.present().size());
    for (auto stripe = spans_.begin(lease.span); stripe < end;) {
      StripeRange run{stripe, stripe};
      while (run.end < end && missing_everywhere(run.end)) ++run.end;
      if (run.count() > 0 && !fetch_run(run, false)) return;
      stripe = run.end + 1;
    }
  }
}

/// No peer that could be asked for anything. Whether nothing comes although there are some: `stuck_`.
bool Swarm::alone() const { return peers_ == nullptr || peers_->eligible_others() == 0; }

/// For how long nothing may come before this node fetches without a lease.
std::chrono::milliseconds Swarm::patience() const {
  if (neighbours_.complete() == 0 && neighbours_.live() == 0) return kStuckWithoutHolder;
  if (now_ - last_spread_ < kStuckNews) return kStuckUpstream;
  for (const auto& range : window_.ranges()) {
    for (auto stripe = range.begin; stripe < range.end; ++stripe) {
      if (window_.open(stripe) && neighbours_.held(stripe)) return kStuck;
    }
  }
  return kStuckUpstream;
}

void Swarm::fetch_alone() {
  if (!may_fetch_ || upstream_free_ == 0 || window_.empty() || now_ < upstream_after_) return;
  const auto idle = now_ - last_progress_ - std::chrono::milliseconds(progress_jitter_ms_);
  if (!stuck_ && idle >= kStuckWithoutHolder) stuck_ = idle >= patience();
  const bool single = no_coordinator_ && alone();
  const bool in_budget = no_coordinator_ && !single && now_ >= alone_after_;
  if (!single && !stuck_ && !in_budget) return;
  for (const auto& range : window_.ranges()) {
    for (auto stripe = range.begin; stripe < range.end; ++stripe) {
      const auto wanted = [&](std::uint32_t one) { return stuck_ ? window_.open(one) : missing_everywhere(one); };
      if (!wanted(stripe)) continue;
      StripeRange run{stripe, stripe + 1};
      while (run.end < range.end && spans_.of(run.end) == spans_.of(stripe) && wanted(run.end) && (single || stuck_))
        ++run.end;
      // One at a time, unless there is truly nobody else: peers may come back any moment.
      const bool one_runs = std::ranges::any_of(running_, &Running::unleased);
      if (!single && one_runs) return;
      if (!single && !stuck_) {
        const auto bytes = static_cast<double>(stripe_bytes(stripe));
        if (bytes > alone_budget_) return;
        alone_budget_ -= bytes;
      }
      if (!fetch_run(run, true)) return;
      stripe = run.end - 1;
    }
  }
}

}  // namespace oxbow::p2p

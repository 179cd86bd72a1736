// Fingers, the choice: which stripe is asked for next, and along which peers.
#include <algorithm>

#include "p2p/fingers.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kHoldersAwaited = 300ms;  // before a lease is used
constexpr auto kStuckAfter = 5'000ms;    // without any progress the budget does not count
constexpr std::chrono::milliseconds kShortestPatience = 1'000ms;
constexpr std::chrono::milliseconds kLongestPatience = 2'000ms;

}  // namespace

std::optional<std::uint32_t> Fingers::open_stripe(std::uint32_t span) const {
  const auto begin = span * kStripesPerSpan;
  const auto end = std::min(begin + kStripesPerSpan, context_.geometry.stripes());
  for (auto stripe = begin; stripe < end; ++stripe) {
    if (window_.open(stripe)) return stripe;
  }
  return std::nullopt;
}

/// The open stripes from `stripe` on without a gap, before `end`.
StripeRange Fingers::open_run(std::uint32_t stripe, std::uint32_t end) const {
  StripeRange run{stripe, stripe};
  while (run.end < end && window_.open(run.end)) ++run.end;
  return run;
}

std::uint32_t Fingers::led() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(spans_, [](const auto& entry) { return entry.second.phase == Phase::kLed; }));
}

/// Each span that is fetched makes all the others slower: together no more than keeps upstream busy.
std::uint32_t Fingers::led_max() const { return std::clamp(options_.crowd_spans / wanters_, 1U, options_.led_spans); }

bool Fingers::may_ask(std::uint32_t number) const {
  const auto& span = spans_.at(number);
  if (span.phase == Phase::kLed || span.not_before > now_) return false;
  const auto under_way = static_cast<std::uint32_t>(std::ranges::count_if(
      running_, [number](const auto& fetch) { return Geometry::span_of(fetch.stripes.begin) == number; }));
  return under_way < (span.phase == Phase::kShared ? options_.per_span : 1);
}

std::vector<std::uint32_t> Fingers::askable_spans() const {
  // Whoever may become the leader of a span must be able to fetch it soon.
  const auto ahead = std::ranges::count_if(running_, [this](const auto& fetch) {
    const auto span = spans_.find(Geometry::span_of(fetch.stripes.begin));
    return fetch.wants > 0 && span != spans_.end() && span->second.phase == Phase::kUnknown;
  });
  const bool may_lead = led() < led_max() && std::cmp_less(ahead, options_.peer_fetches / 2);
  std::vector<std::uint32_t> out;
  for (const auto& [number, span] : spans_) {
    if (span.phase == Phase::kUnknown && may_fetch_ && !may_lead) continue;
    if (may_ask(number) && open_stripe(number)) out.push_back(number);
  }
  return out;
}

bool Fingers::ask_one() {
  const auto spans = askable_spans();
  if (spans.empty()) return false;
  // What the reader waits for comes first; beyond it each node goes its own way, so that a crowd does not want the
  // same.
  auto chosen = spans[random_.below(static_cast<std::uint32_t>(spans.size()))];
  const auto urgent = window_.first_open();
  if (urgent) {
    const auto span = Geometry::span_of(*urgent);
    const bool asked = std::ranges::any_of(
        running_, [span](const auto& fetch) { return Geometry::span_of(fetch.stripes.begin) == span; });
    if (!asked && std::ranges::find(spans, span) != spans.end()) chosen = span;
  }
  ask(*open_stripe(chosen), 0);
  return true;
}

Fingers::Running Fingers::new_fetch(SourceId source, StripeRange stripes, bool direct) {
  Running fetch;
  fetch.id = next_id_++;
  fetch.source = source;
  fetch.stripes = stripes;
  fetch.direct = direct;
  fetch.started = now_;
  return fetch;
}

void Fingers::ask(std::uint32_t stripe, FetchId hedge_of) {
  const auto number = Geometry::span_of(stripe);
  auto& span = spans_[number];
  auto way = way_to(number, span.rung);
  if (hedge_of != 0) {
    const auto* late = running_.find(hedge_of);
    // Who is late is not asked again: the owner itself, or, where that is late, whoever else has a finger.
    way = way_to(number, late->direct ? 0 : 2);
    if (way.source == late->source || way.source == kNoPeer || way.source == peers_->self()) return;
  }
  if (way.source == kNoPeer) {
    span.exhausted = true;
    span.not_before = now_ + 250ms;
    return;
  }
  auto fetch = new_fetch(way.source, {stripe, stripe + 1}, way.direct);
  fetch.hedge_of = hedge_of;
  const auto span_end = (number + 1) * kStripesPerSpan;
  // A large crowd takes turns at being willing.
  const bool willing = wanters_ <= options_.crowd_spans || random_.below(wanters_) < options_.crowd_spans;
  if (hedge_of == 0 && may_fetch_ && willing)
    fetch.wants = open_run(stripe, std::min(span_end, context_.geometry.stripes())).count();
  window_.assign(stripe);
  ++from_peers_;
  Along along{std::move(way.path), kNoPeer, fetch.wants, patience()};
  Fetch action{fetch.id, fetch.source, fetch.stripes, {}, std::move(along)};
  if (hedge_of != 0) action.hedge_of = hedge_of;
  running_.add(fetch);
  act(std::move(action));
}

/// On full links answers are late: an owner that is taken for dead is stood in for by one that knows of nothing given.
std::chrono::milliseconds Fingers::patience() const {
  return std::clamp(waits_.several(now_), kShortestPatience, kLongestPatience);
}

const FingerTable& Fingers::table_of(std::uint32_t number, Span& span) {
  if (span.table == nullptr || span.revision != peers_->revision()) {
    span.table = std::make_unique<FingerTable>(peers_, key_of(context_.digest, number), options_.spread);
    span.revision = peers_->revision();
  }
  return *span.table;
}

/// Rung 0: this node's own fingers of the key. 1: any others. Above: the owner itself, then, as it is away, its
/// successor.
Fingers::Way Fingers::way_to(std::uint32_t number, std::uint32_t rung) {
  auto& span = spans_[number];
  const auto& table = table_of(number, span);
  const auto is_live = [this](const Peer& peer) { return live(peer, false); };
  const auto* owner = table.live_owner([this](const Peer& peer) { return live(peer, true); });
  if (owner == nullptr) return {};
  if (peers_->is_self(*owner) || rung >= 2) return {owner->id, {}, true};
  // The choice is fixed for a key, but for the jitter: a client's requests of one key go the same way.
  Random fixed(context_.seed ^ number ^ (std::uint64_t{rung} << 32U));
  const auto route = table.choose(fixed, random_, 1.0 / FingerTable::fan_out(peers_->peers().size()), is_live);
  Way way;
  for (const auto* hop : {route.h2, route.h1}) {
    if (hop == nullptr || peers_->is_self(*hop) || hop->id == owner->id) continue;
    if (way.source == kNoPeer)
      way.source = hop->id;
    else
      way.path.push_back(hop->id);
  }
  if (way.source == kNoPeer) return {owner->id, {}, true};
  way.path.push_back(owner->id);
  return way;
}

/// Somebody who has all of it.
std::optional<PeerId> Fingers::holder() {
  std::erase_if(holders_, [this](PeerId id) {
    const auto* peer = peers_->find(id);
    return peer == nullptr || peers_->is_self(*peer) || !live(*peer, false);
  });
  if (holders_.empty()) return std::nullopt;
  return holders_[random_.below(static_cast<std::uint32_t>(holders_.size()))];
}

/// What this node has leases of.
void Fingers::fetch_led() {
  if (asked_ != 0 && now_ < asked_at_ + kHoldersAwaited) return;
  for (auto& [number, span] : spans_) {
    if (span.phase != Phase::kLed) continue;
    auto stripe = span.led.begin;
    while (stripe < span.led.end && !window_.open(stripe)) ++stripe;
    const auto run = open_run(stripe, span.led.end);
    if (run.count() == 0) {
      const bool runs = std::ranges::any_of(
          running_, [&](const auto& fetch) { return Geometry::span_of(fetch.stripes.begin) == number; });
      if (!runs) span.phase = Phase::kUnknown;
      continue;
    }
    if (const auto has = holder()) {
      if (from_peers_ >= options_.peer_fetches) continue;
      const auto fetch = new_fetch(*has, {stripe, stripe + 1}, true);
      running_.add(fetch);
      window_.assign(stripe);
      ++from_peers_;
      act(Fetch{fetch.id, fetch.source, fetch.stripes});
      continue;
    }
    if (upstream_free_ > 0 && may_fetch_ && now_ >= upstream_after_) fetch_upstream(run);
  }
}

void Fingers::fetch_upstream(StripeRange stripes) {
  --upstream_free_;
  for (auto stripe = stripes.begin; stripe < stripes.end; ++stripe) window_.assign(stripe);
  const auto fetch = new_fetch(kUpstream, stripes, false);
  running_.add(fetch);
  act(Fetch{fetch.id, kUpstream, stripes});
}

/// Without a lease: when every way has failed, within the budget; when nothing has come for long, without it.
void Fingers::fetch_alone() {
  if (!may_fetch_ || upstream_free_ == 0 || now_ < upstream_after_ || now_ < alone_after_) return;
  const bool stuck = now_ >= last_progress_ + kStuckAfter;
  const bool runs = std::ranges::any_of(running_, [](const auto& fetch) { return fetch.source == kUpstream; });
  if (runs) return;
  for (const auto& range : window_.ranges()) {
    for (auto stripe = range.begin; stripe < range.end; ++stripe) {
      if (!window_.open(stripe)) continue;
      auto& span = spans_[Geometry::span_of(stripe)];
      if (span.phase == Phase::kLed || (!span.exhausted && !stuck)) continue;
      const auto span_end = (Geometry::span_of(stripe) + 1) * kStripesPerSpan;
      const auto run = stuck ? open_run(stripe, std::min(span_end, range.end)) : StripeRange{stripe, stripe + 1};
      const auto bytes = static_cast<double>(bytes_of(run));
      if (!stuck && bytes > alone_budget_) return;
      alone_budget_ = std::max(0.0, alone_budget_ - bytes);
      return fetch_upstream(run);
    }
  }
}

}  // namespace oxbow::p2p

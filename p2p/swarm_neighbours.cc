#include "p2p/swarm_neighbours.h"

#include <algorithm>
#include <limits>

namespace oxbow::p2p {
namespace {

constexpr std::size_t kUsual = 40;           // neighbours
constexpr std::size_t kArrivingMax = 64;     // of one neighbour: more are not news but noise
constexpr double kSlowShare = 0.25;          // of the typical speed: one fetch at a time
constexpr double kTierStep = 0.5;            // a farther tier costs half as much again
constexpr double kTrialCost = 8;             // of a peer that was away: last among equals
constexpr std::uint32_t kEarlyStripes = 16;  // at the window's start: they hold the reader, and with it the window, up
constexpr std::uint32_t kEarlyFactor = 4;    // so they are taken as if a quarter as many held them
constexpr auto kLoadHolds = std::chrono::milliseconds(150);  // then a full queue is old news
constexpr auto kAwayMax = std::chrono::milliseconds(15'000);
// Sooner costs a crowd of 10,000 half as many requests again and gains nothing (docs/simulation-crowd.md).
constexpr auto kBusyFor = std::chrono::milliseconds(50);  // and a random time more
constexpr std::uint32_t kBusyJitterMs = 100;
// Where slots are free it was the stripe that had no turn: there are others, and its own comes when the copy before it
// is through: after what a stripe usually takes, and up to twice that.
constexpr auto kNoTurnMin = std::chrono::milliseconds(5);  // 512 KiB at 1 Gbit/s
constexpr auto kNoTurnUnknown = std::chrono::milliseconds(10);
constexpr auto kNoTurnMax = std::chrono::milliseconds(30);
constexpr double kEwma = 0.3;
constexpr double kMedianStep = 1.1;

}  // namespace

SwarmNeighbours::SwarmNeighbours(std::uint32_t stripes, Limits limits) : limits_(limits), stripes_(stripes) {}

SwarmNeighbour* SwarmNeighbours::find(PeerId id) {
  const auto place = place_of(id);
  return place ? &all_[*place] : nullptr;
}

std::optional<std::uint32_t> SwarmNeighbours::place_of(PeerId id) const {
  const auto found = std::ranges::find(ids_, id);
  return found == ids_.end() ? std::nullopt : std::optional(static_cast<std::uint32_t>(found - ids_.begin()));
}

SwarmNeighbour& SwarmNeighbours::add(PeerId id) {
  OXBOW_INVARIANT(all_.size() < kMost);
  // All at once and no more than a usual number: a node may have thousands of blobs under way.
  if (all_.empty()) all_.reserve(kUsual);
  ids_.push_back(id);
  held_.push_back(0);
  busy_until_.push_back(Time{0});
  auto& neighbour = all_.emplace_back();
  neighbour.id = id;
  return neighbour;
}

void SwarmNeighbours::set_ranked(SwarmNeighbour& one, bool ranked) {
  one.ranked = ranked;
  put(ranked_, bit(one), ranked);
}

/// The last one takes its place, and with it its bit.
void SwarmNeighbours::remove(PeerId id) {
  auto* found = find(id);
  if (found == nullptr) return;
  const auto gone = bit(*found);
  const auto last = bit(all_.back());
  const auto move = [gone, last](Places& places) {
    put(places, gone, (places & last) != 0);
    places &= ~last;
  };
  for (auto& stripe : stripes_) {
    move(stripe.held);
    move(stripe.coming);
  }
  for (auto* places : {&complete_, &away_, &mapped_, &ranked_}) move(*places);
  if (found != &all_.back()) *found = all_.back();
  ids_[place(*found)] = ids_.back();
  held_[place(*found)] = held_.back();
  busy_until_[place(*found)] = busy_until_.back();
  all_.pop_back();
  ids_.pop_back();
  held_.pop_back();
  busy_until_.pop_back();
}

std::optional<PeerId> SwarmNeighbours::worst(Random* random) const {
  const SwarmNeighbour* worst = nullptr;
  for (const auto& one : all_) {
    if (one.away && one.outstanding == 0 && (worst == nullptr || one.away_count > worst->away_count)) worst = &one;
  }
  for (int draw = 0; worst == nullptr && random != nullptr && draw < 8; ++draw) {
    const auto& one = all_[random->below(static_cast<std::uint32_t>(all_.size()))];
    if (one.outstanding == 0 && !one.ranked && !one.complete) worst = &one;
  }
  return worst == nullptr ? std::nullopt : std::optional(worst->id);
}

bool SwarmNeighbours::any_ranked_lives() const noexcept { return (ranked_ & mapped_ & ~away_) != 0; }

bool SwarmNeighbours::apply(SwarmNeighbour& one, const HaveUpdate& update) {
  if (update.load) one.load = *update.load;
  if (update.map && update.map->size() == stripes_.size()) set_map(one, *update.map);
  bool any = false;
  for (const auto stripe : update.have) any = came(place(one), stripe) || any;
  for (const auto stripe : update.arriving) arrives(place(one), stripe);
  for (const auto stripe : update.lost) forget_stripe(one, stripe);
  return any;
}

bool SwarmNeighbours::apply(std::uint32_t place, const StripeNews& news) {
  switch (news.what) {
    case StripeNews::What::kHave:
      return came(place, news.stripe);
    case StripeNews::What::kArriving:
      arrives(place, news.stripe);
      break;
    case StripeNews::What::kLost:
      forget_stripe(all_[place], news.stripe);
      break;
    case StripeNews::What::kLoad:
      all_[place].load = {news.used, news.slots, news.waiting};
  }
  return false;
}

void SwarmNeighbours::set_map(SwarmNeighbour& one, const HaveMap& map) {
  forget_map(one);
  one.mapped = true;
  mapped_ |= bit(one);
  if (map.complete()) return set_complete(one);
  const auto words = map.words();
  for (std::uint32_t word = 0; word < words.size(); ++word) {
    for (auto bits = words[word]; bits != 0; bits &= bits - 1)
      stripes_[word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits))].held |= bit(one);
  }
  held_[place(one)] = map.count();
}

bool SwarmNeighbours::came(std::uint32_t place, std::uint32_t stripe) {
  const auto own = Places{1} << place;
  if ((mapped_ & ~complete_ & own) == 0 || stripe >= stripes_.size()) return false;
  auto& there = stripes_[stripe];
  if ((there.held & own) != 0) return false;
  if ((there.coming & own) != 0) {
    there.coming &= ~own;
    --all_[place].arriving;
  }
  there.held |= own;
  if (++held_[place] == stripes_.size()) set_complete(all_[place]);
  return true;
}

void SwarmNeighbours::arrives(std::uint32_t place, std::uint32_t stripe) {
  const auto own = Places{1} << place;
  if ((mapped_ & ~complete_ & own) == 0 || stripe >= stripes_.size()) return;
  auto& there = stripes_[stripe];
  if (((there.held | there.coming) & own) != 0 || all_[place].arriving >= kArrivingMax) return;
  there.coming |= own;
  ++all_[place].arriving;
}

void SwarmNeighbours::set_complete(SwarmNeighbour& one) {
  one.complete = true;
  one.mapped = true;
  complete_ |= bit(one);
  mapped_ |= bit(one);
}

void SwarmNeighbours::forget_map(SwarmNeighbour& one) {
  const auto own = bit(one);
  for (auto* places : {&complete_, &mapped_}) *places &= ~own;
  for (auto& stripe : stripes_) {
    stripe.held &= ~own;
    stripe.coming &= ~own;
  }
  one.complete = false;
  one.mapped = false;
  held_[place(one)] = 0;
  one.arriving = 0;
}

void SwarmNeighbours::forget_stripe(SwarmNeighbour& one, std::uint32_t stripe) {
  if (stripe >= stripes_.size()) return;
  if (one.complete) {
    HaveMap rest(static_cast<std::uint32_t>(stripes_.size()), true);
    rest.clear(stripe);
    set_map(one, rest);
  }
  const auto own = bit(one);
  auto& there = stripes_[stripe];
  if ((there.coming & own) != 0) --one.arriving;
  if ((there.held & own) != 0) --held_[place(one)];
  there.coming &= ~own;
  there.held &= ~own;
}

void SwarmNeighbours::set_away(SwarmNeighbour& one, Time until) {
  one.away_until = until;
  if (one.away) return;
  one.away = true;
  one.on_trial = true;
  ++one.away_count;
  away_ |= bit(one);
}

void SwarmNeighbours::failed(SwarmNeighbour& one, Time now, std::chrono::milliseconds for_at_least) {
  const auto doubled = for_at_least * (1U << std::min(one.away_count, 5U));
  set_away(one, now + std::min<std::chrono::milliseconds>(doubled, kAwayMax));
}

void SwarmNeighbours::was_busy(SwarmNeighbour& one, Time now, std::chrono::milliseconds stripe_takes, Random& random) {
  auto pause = kBusyFor;
  auto jitter_ms = kBusyJitterMs;
  if (stripes_.size() <= kInTurnStripes && one.load.slots > 0 && !one.load.busy() && now - one.load_at < kLoadHolds) {
    pause = stripe_takes.count() > 0 ? std::clamp(stripe_takes, kNoTurnMin, kNoTurnMax) : kNoTurnUnknown;
    jitter_ms = static_cast<std::uint32_t>(pause.count());
  } else if (one.load.slots > 0) {
    one.load.used = one.load.slots;
  }
  busy_until_[place(one)] = now + pause + std::chrono::milliseconds(random.below(jitter_ms));
}

void SwarmNeighbours::served(SwarmNeighbour& one) {
  one.away_count = 0;
  one.on_trial = false;
}

void SwarmNeighbours::learn_speed(SwarmNeighbour& one, double rate, double& typical) {
  one.goodput = one.goodput <= 0 ? rate : (1 - kEwma) * one.goodput + kEwma * rate;
  if (typical <= 0)
    typical = rate;
  else
    typical = rate > typical ? typical * kMedianStep : typical / kMedianStep;
}

void SwarmNeighbours::crawls(SwarmNeighbour& one, double rate) {
  rate = std::max(rate, 1.0);
  one.goodput = one.goodput <= 0 ? rate : std::min(one.goodput, rate);
}

void SwarmNeighbours::set_back(SwarmNeighbour& one) {
  one.away = false;
  away_ &= ~bit(one);
}

bool SwarmNeighbours::askable(std::uint32_t place, Time now, double typical) const {
  // Looked at first, for in a large crowd most neighbours are busy most of the time.
  if (now < busy_until_[place]) return false;
  const auto& one = all_[place];
  if (one.away || !one.mapped) return false;
  // Somebody waits there already: one more would hold a place here without bringing a byte.
  if (one.load.slots > 0 && one.load.busy() && one.load.waiting > 0 && now - one.load_at < kLoadHolds) return false;
  const bool slow = one.on_trial || (one.goodput > 0 && typical > 0 && one.goodput < kSlowShare * typical);
  // With few neighbours each of them carries more, or the links would not fill.
  const auto share = std::max(limits_.per_peer, limits_.fetches / std::max(static_cast<std::uint32_t>(live()), 1U));
  return one.outstanding < (slow ? 1 : share);
}

/// Who has, or is getting, an open stripe of the window.
SwarmNeighbours::Places SwarmNeighbours::useful(const SwarmWindow& window) const {
  Places places = 0;
  bool any = false;
  for (const auto word : window.words()) {
    auto bits = window.open_word(word);
    any = any || bits != 0;
    for (; bits != 0; bits &= bits - 1) {
      const auto stripe = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      places |= stripes_[stripe].held | stripes_[stripe].coming;
    }
  }
  return any ? places | complete_ : 0;
}

/// What one more stripe from this peer would cost: its queue over its speed, dearer from far away.
double SwarmNeighbours::cost(const SwarmNeighbour& one, const PeerSnapshot& peers, double typical,
                             Random& random) const {
  const double speed = one.goodput > 0 && typical > 0 ? std::clamp(one.goodput / typical, 0.05, 4.0) : 1.0;
  double cost = (1.0 + one.load.used + 2.0 * one.load.waiting + one.outstanding) / speed;
  if (one.load.slots > 0 && one.load.busy()) cost *= 2;
  // `near` counts shared labels: three cover zone, row and rack.
  cost *= 1 + kTierStep * (3 - std::min(one.near, 3U));
  if (one.on_trial) cost *= kTrialCost;
  if (const auto* peer = one.vetted ? nullptr : peers.find(one.id);
      peer != nullptr && !PeerTable::passes_probation(peers, *peer, limits_.probation_share, random.uniform()))
    cost *= kTrialCost;
  return cost * (1 + 0.1 * random.uniform());
}

std::optional<SwarmChoice> SwarmNeighbours::choose_stripe(std::uint32_t place, const SwarmWindow& window,
                                                          Random& random) const {
  const auto& one = all_[place];
  std::optional<SwarmChoice> best;
  std::uint32_t best_rank = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t ties = 0;
  const auto urgent_end = window.ranges().front().begin + kEarlyStripes;
  const auto own = Places{1} << place;
  const auto counted = ~(away_ | complete_);
  const auto consider = [&](std::uint32_t stripe, bool cut_through) {
    auto rank = 4 * (static_cast<std::uint32_t>(std::popcount(stripes_[stripe].held & counted)) + 1U);
    if (stripe < urgent_end && stripe >= window.ranges().front().begin) rank /= kEarlyFactor;
    if (rank > best_rank) return;
    ties = rank < best_rank ? 1 : ties + 1;
    best_rank = rank;
    if (ties == 1 || random.below(ties) == 0) best = SwarmChoice{place, stripe, cut_through};
  };
  for (const auto word : window.words()) {
    for (auto bits = window.open_word(word); bits != 0; bits &= bits - 1) {
      const auto stripe = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      if (one.complete || (stripes_[stripe].held & own) != 0)
        consider(stripe, false);
      else if ((stripes_[stripe].coming & own) != 0)
        consider(stripe, true);
    }
  }
  return best;
}

bool SwarmNeighbours::held_by_one_that_serves(std::uint32_t stripe, Time now) const noexcept {
  for (auto places = (complete_ | stripes_[stripe].held) & ~away_; places != 0; places &= places - 1) {
    const auto& one = all_[static_cast<std::size_t>(std::countr_zero(places))];
    if (!one.on_trial && !one.is_denied(now)) return true;
  }
  return false;
}

std::optional<SwarmChoice> SwarmNeighbours::pick(Time now, const SwarmWindow& window, bool anybody,
                                                 const PeerSnapshot& peers, double typical, Random& random) const {
  const auto count = static_cast<std::uint32_t>(all_.size());
  if (count == 0 || window.empty()) return std::nullopt;
  const auto first = random.below(count);
  auto places = useful(window) & mapped_ & ~away_;
  if (!anybody) places &= ranked_;
  // Those from `first` on, then those before it.
  const auto after = places & (~Places{0} << first);
  std::optional<std::uint32_t> best;
  double best_cost = 0;
  std::uint32_t probed = 0;
  for (auto part : {after, places & ~after}) {
    for (; part != 0 && probed < limits_.probes; part &= part - 1) {
      const auto place = static_cast<std::uint32_t>(std::countr_zero(part));
      if (!askable(place, now, typical)) continue;
      ++probed;
      const double price = cost(all_[place], peers, typical, random);
      if (best && price >= best_cost) continue;
      best = place;
      best_cost = price;
    }
  }
  return best ? choose_stripe(*best, window, random) : std::nullopt;
}

std::optional<SwarmChoice> SwarmNeighbours::pick_for(Time now, std::uint32_t stripe, PeerId except, bool anybody,
                                                     const PeerSnapshot& peers, double typical, Random& random) const {
  std::optional<SwarmChoice> best;
  double best_cost = 0;
  for (std::uint32_t place = 0; place < all_.size(); ++place) {
    const auto& one = all_[place];
    if (one.id == except || !askable(place, now, typical)) continue;
    const auto own = Places{1} << place;
    if (!anybody && (ranked_ & own) == 0) continue;
    const bool here = one.complete || (stripes_[stripe].held & own) != 0;
    if (!here && (stripes_[stripe].coming & own) == 0) continue;
    const double price = cost(one, peers, typical, random);
    if (best && price >= best_cost) continue;
    best = SwarmChoice{place, stripe, !here};
    best_cost = price;
  }
  return best;
}

}  // namespace oxbow::p2p

#include "p2p/swarm_neighbours.h"

#include <algorithm>
#include <limits>

namespace oxbow::p2p {
namespace {

constexpr std::size_t kArrivingMax = 64;     // of one neighbour: more are not news but noise
constexpr double kSlowShare = 0.25;          // of the typical speed: one fetch at a time
constexpr double kTierStep = 0.5;            // a farther tier costs half as much again
constexpr double kTrialCost = 8;             // of a peer that was away: last among equals
constexpr std::uint32_t kEarlyStripes = 16;  // at the window's start: they hold the reader, and with it the window, up
constexpr std::uint32_t kEarlyFactor = 4;    // so they are taken as if a quarter as many held them
constexpr auto kLoadHolds = std::chrono::milliseconds(150);  // then a full queue is old news

}  // namespace

SwarmNeighbours::SwarmNeighbours(std::uint32_t stripes, Limits limits)
    : limits_(limits), holders_(stripes), arriving_(stripes) {}

SwarmNeighbour* SwarmNeighbours::find(PeerId id) {
  const auto found = places_.find(id);
  return found == places_.end() ? nullptr : &all_[found->second];
}

SwarmNeighbour& SwarmNeighbours::add(PeerId id) {
  places_.emplace(id, static_cast<std::uint32_t>(all_.size()));
  auto& neighbour = all_.emplace_back();
  neighbour.id = id;
  return neighbour;
}

void SwarmNeighbours::remove(PeerId id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return;
  const auto place = found->second;
  if (all_[place].away)
    --away_;
  else
    count(all_[place], -1);
  places_.erase(found);
  if (place + 1 != all_.size()) {
    all_[place] = std::move(all_.back());
    places_[all_[place].id] = place;
  }
  all_.pop_back();
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

bool SwarmNeighbours::any_ranked_lives() const noexcept {
  return std::ranges::any_of(all_, [](const SwarmNeighbour& one) { return one.ranked && !one.away && one.mapped; });
}

void SwarmNeighbours::count(const SwarmNeighbour& neighbour, int sign) {
  if (neighbour.complete) complete_ += static_cast<std::uint32_t>(sign);
  for (const auto stripe : neighbour.arriving) arriving_[stripe] = static_cast<std::uint16_t>(arriving_[stripe] + sign);
  const auto words = neighbour.have.words();
  for (std::uint32_t word = 0; word < words.size(); ++word) {
    for (auto bits = words[word]; bits != 0; bits &= bits - 1) {
      const auto stripe = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
      holders_[stripe] = static_cast<std::uint16_t>(holders_[stripe] + sign);
    }
  }
}

void SwarmNeighbours::apply(SwarmNeighbour& one, const HaveUpdate& update) {
  if (update.load) one.load = *update.load;
  const auto stripes = static_cast<std::uint32_t>(holders_.size());
  if (update.map && update.map->size() == stripes) {
    if (!one.away) count(one, -1);
    one.mapped = true;
    one.complete = update.map->complete();
    one.have = one.complete ? HaveMap() : *update.map;
    one.arriving.clear();
    if (!one.away) count(one, +1);
  }
  for (const auto stripe : update.have) came(one, stripe);
  for (const auto stripe : update.arriving) arrives(one, stripe);
  for (const auto stripe : update.lost) forget_stripe(one, stripe);
}

void SwarmNeighbours::apply(SwarmNeighbour& one, const StripeNews& news) {
  switch (news.what) {
    case StripeNews::What::kHave:
      return came(one, news.stripe);
    case StripeNews::What::kArriving:
      return arrives(one, news.stripe);
    case StripeNews::What::kLost:
      return forget_stripe(one, news.stripe);
    case StripeNews::What::kLoad:
      one.load = news.load;
  }
}

void SwarmNeighbours::came(SwarmNeighbour& one, std::uint32_t stripe) {
  if (!one.mapped || one.complete || stripe >= holders_.size() || one.have.has(stripe)) return;
  if (!one.arriving.empty() && std::erase(one.arriving, stripe) > 0 && !one.away) --arriving_[stripe];
  one.have.set(stripe);
  if (!one.away) ++holders_[stripe];
  if (one.have.complete()) set_complete(one);
}

void SwarmNeighbours::arrives(SwarmNeighbour& one, std::uint32_t stripe) {
  if (!one.mapped || one.complete || stripe >= holders_.size() || one.have.has(stripe)) return;
  if (one.arriving.size() >= kArrivingMax || std::ranges::find(one.arriving, stripe) != one.arriving.end()) return;
  one.arriving.push_back(stripe);
  if (!one.away) ++arriving_[stripe];
}

void SwarmNeighbours::set_complete(SwarmNeighbour& one) {
  if (!one.away) count(one, -1);
  one.complete = true;
  one.mapped = true;
  one.have = HaveMap();
  one.arriving.clear();
  if (!one.away) count(one, +1);
}

void SwarmNeighbours::forget_map(SwarmNeighbour& one) {
  if (!one.away) count(one, -1);
  one.complete = false;
  one.mapped = false;
  one.have = HaveMap();
  one.arriving.clear();
}

void SwarmNeighbours::forget_stripe(SwarmNeighbour& one, std::uint32_t stripe) {
  if (stripe >= holders_.size()) return;
  if (one.complete) {
    // It has lost something: all but that may still be there.
    forget_map(one);
    one.have = HaveMap(static_cast<std::uint32_t>(holders_.size()), true);
    one.have.clear(stripe);
    one.mapped = true;
    if (!one.away) count(one, +1);
    return;
  }
  if (std::erase(one.arriving, stripe) > 0 && !one.away) --arriving_[stripe];
  if (!one.have.has(stripe)) return;
  one.have.clear(stripe);
  if (!one.away) --holders_[stripe];
}

void SwarmNeighbours::set_away(SwarmNeighbour& one, Time until) {
  one.away_until = until;
  if (one.away) return;
  count(one, -1);
  one.away = true;
  one.on_trial = true;
  ++one.away_count;
  ++away_;
}

void SwarmNeighbours::set_back(SwarmNeighbour& one) {
  if (!one.away) return;
  one.away = false;
  --away_;
  count(one, +1);
}

bool SwarmNeighbours::askable(const SwarmNeighbour& one, Time now, double typical) const {
  if (one.away || !one.mapped || now < one.busy_until) return false;
  // Somebody waits there already: one more would hold a place here without bringing a byte.
  if (one.load.slots > 0 && one.load.busy() && one.load.waiting > 0 && now - one.load_at < kLoadHolds) return false;
  const bool slow = one.on_trial || (one.goodput > 0 && typical > 0 && one.goodput < kSlowShare * typical);
  // With few neighbours each of them carries more, or the links would not fill.
  const auto share = std::max(limits_.per_peer, limits_.fetches / std::max(static_cast<std::uint32_t>(live()), 1U));
  return one.outstanding < (slow ? 1 : share);
}

bool SwarmNeighbours::useful(const SwarmNeighbour& one, const SwarmWindow& window) const {
  if (one.complete) return window.any_open();
  for (const auto word : window.words()) {
    if ((window.open_word(word) & one.have.words()[word]) != 0) return true;
  }
  return std::ranges::any_of(one.arriving, [&](std::uint32_t stripe) { return window.open(stripe); });
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
  const auto consider = [&](std::uint32_t stripe, bool cut_through) {
    std::uint32_t rank = 4 * (holders_[stripe] + 1U);
    if (stripe < urgent_end && stripe >= window.ranges().front().begin) rank /= kEarlyFactor;
    if (rank > best_rank) return;
    ties = rank < best_rank ? 1 : ties + 1;
    best_rank = rank;
    if (ties == 1 || random.below(ties) == 0) best = SwarmChoice{place, stripe, cut_through};
  };
  for (const auto word : window.words()) {
    auto bits = window.open_word(word);
    if (!one.complete) bits &= one.have.words()[word];
    for (; bits != 0; bits &= bits - 1) consider(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)), false);
  }
  for (const auto stripe : one.arriving) {
    if (window.open(stripe)) consider(stripe, true);
  }
  return best;
}

std::optional<SwarmChoice> SwarmNeighbours::pick(Time now, const SwarmWindow& window, bool anybody,
                                                 const PeerSnapshot& peers, double typical, Random& random) const {
  const auto count = static_cast<std::uint32_t>(all_.size());
  if (count == 0 || window.empty()) return std::nullopt;
  const auto first = random.below(count);
  std::optional<std::uint32_t> best;
  double best_cost = 0;
  std::uint32_t probed = 0;
  for (std::uint32_t i = 0; i < count && probed < limits_.probes; ++i) {
    const auto place = (first + i) % count;
    const auto& one = all_[place];
    if (!anybody && !one.ranked) continue;
    if (!askable(one, now, typical) || !useful(one, window)) continue;
    ++probed;
    const double price = cost(one, peers, typical, random);
    if (best && price >= best_cost) continue;
    best = place;
    best_cost = price;
  }
  return best ? choose_stripe(*best, window, random) : std::nullopt;
}

std::optional<SwarmChoice> SwarmNeighbours::pick_for(Time now, std::uint32_t stripe, PeerId except,
                                                     const PeerSnapshot& peers, double typical, Random& random) const {
  std::optional<SwarmChoice> best;
  double best_cost = 0;
  for (std::uint32_t place = 0; place < all_.size(); ++place) {
    const auto& one = all_[place];
    if (one.id == except || !askable(one, now, typical)) continue;
    const bool here = one.complete || one.have.has(stripe);
    if (!here && std::ranges::find(one.arriving, stripe) == one.arriving.end()) continue;
    const double price = cost(one, peers, typical, random);
    if (best && price >= best_cost) continue;
    best = SwarmChoice{place, stripe, !here};
    best_cost = price;
  }
  return best;
}

}  // namespace oxbow::p2p

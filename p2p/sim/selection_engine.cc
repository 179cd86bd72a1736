#include "p2p/sim/selection_engine.h"

#include <algorithm>

#include "p2p/peer_service.h"
#include "p2p/sim/exponential.h"

namespace oxbow::p2p::sim {
namespace {

constexpr double kSecond = 1e6;
constexpr double kStripeBytes = 4 << 20;
constexpr std::uint32_t kTurnedAwayMax = 4;  ///< in a row; then the client waits a little
constexpr Micros kPause = 20'000;
/// Longer than the daemon's queue, which would turn away most of what a bad choice piles up: here the pile is the
/// answer.
constexpr std::uint32_t kWaiting = 16;
constexpr double kSettle_s = 60;
constexpr std::uint64_t kCancelEvery = 4096;  ///< events

Micros micros(double value) { return static_cast<Micros>(value); }

std::uint32_t view_size(const SelectionOptions& options, std::uint32_t nodes) {
  return std::min(options.candidates, nodes);
}

}  // namespace

SelectionEngine::SelectionEngine(const SelectionOptions& options, const SelectionSetup& setup, std::uint64_t seed)
    : options_(options), setup_(setup), random_(seed) {
  measured_from_ = micros((kSettle_s + setup.refresh_s) * kSecond);
  end_ = measured_from_ + micros(options.measured_s * kSecond);
  for (std::uint32_t place = 0; place < setup.nodes; ++place) {
    place_of_.push_back(place);
    places_.push_back(make_place(options.slow_share));
    places_.back().peer = place;
  }
  for (std::uint32_t number = 0; number < setup.nodes; ++number) {
    clients_.push_back(
        std::make_unique<SelectionClient>(number, setup.policy, setup.probation_share, clock_, metrics_));
    refresh(number);
    for (const auto peer : clients_.back()->view()) clients_.back()->vet(peer, kStripeBytes / options.stripe_ms * 1000);
    // The first interval ends at a time of its own for each client.
    at(micros(random_.uniform() * setup.refresh_s * kSecond), Kind::kRefresh, number);
    at(0, Kind::kArrival, number);
  }
  if (setup.leaves > 0) at(0, Kind::kDeath, 0);
}

SelectionEngine::Place SelectionEngine::make_place(double slow_share) {
  const PeerServiceOptions service;
  const bool slow = random_.uniform() < slow_share;
  const double alone = options_.stripe_ms * 1000 / (slow ? options_.slow_factor : 1);
  return {0, slow, !slow, SelectionServer(micros(alone), service.upload_slots, kWaiting), 0};
}

SelectionEngine::Counts SelectionEngine::run(const Progress& progress) {
  for (std::uint64_t handled = 0; !events_.empty(); ++handled) {
    if (handled % kCancelEvery == 0 && progress.cancelled()) break;
    const auto event = events_.top();
    if (event.at >= end_ && under_way_ == 0) break;
    events_.pop();
    OXBOW_INVARIANT(event.at >= now_);
    clock_.advance(std::chrono::milliseconds(event.at / 1000 - now_ / 1000));
    now_ = event.at;
    handle(event);
  }
  for (const auto& place : places_) {
    counts_.served.push_back(static_cast<double>(place.served));
    counts_.fast_throughout.push_back(place.fast_throughout);
  }
  return std::move(counts_);
}

void SelectionEngine::handle(const Event& event) {
  switch (event.kind) {
    case Kind::kArrival:
      return arrival(event.who);
    case Kind::kDispatch:
      return dispatch(event.who);
    case Kind::kEnd:
      return end(event.who, event.stamp);
    case Kind::kGiveUp:
      return give_up(event.who, event.stamp);
    case Kind::kTimeout:
      return timeout(event.who, event.stamp);
    case Kind::kRefresh:
      refresh(event.who);
      at(now_ + micros(setup_.refresh_s * kSecond), Kind::kRefresh, event.who);
      return;
    case Kind::kDeath:
      return death();
  }
}

RequestId SelectionEngine::new_request(std::uint32_t client) {
  RequestId id = 0;
  if (free_.empty()) {
    id = static_cast<RequestId>(requests_.size());
    requests_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  auto& request = requests_[id];
  request.client = client;
  request.arrived = now_;
  request.turned_away = 0;
  ++under_way_;
  return id;
}

void SelectionEngine::arrival(std::uint32_t client) {
  const double mean = options_.stripe_ms * 1000 / options_.load;
  at(now_ + micros(exponential(random_) * mean) + 1, Kind::kArrival, client);
  // The first event of each client only starts its clock; after the end nothing new comes.
  if (now_ > 0 && now_ < end_) dispatch(new_request(client));
}

void SelectionEngine::dispatch(RequestId id) {
  auto& request = requests_[id];
  const auto pick = clients_[request.client]->pick(time(), random_);
  if (!pick) return at(now_ + kPause, Kind::kDispatch, id);
  send(id, *pick);
}

void SelectionEngine::send(RequestId id, const SelectionClient::Pick& pick) {
  auto& request = requests_[id];
  request.peer = pick.peer;
  request.sent = request.begun = now_;
  ++request.attempt;
  auto& place = places_[place_of_[pick.peer]];
  const bool alive = lives(pick.peer);
  if (measured()) {
    ++counts_.picks;
    counts_.dead += alive ? 0 : 1;
    counts_.stale += alive && place.server.queue() >= pick.believed + place.server.load().slots / 2 ? 1 : 0;
    counts_.unvetted += pick.unvetted ? 1 : 0;
    counts_.unvetted_share += pick.unvetted_share;
  }
  if (!alive) return at(now_ + micros(options_.timeout_ms * 1000), Kind::kTimeout, id, request.attempt);
  switch (place.server.offer(now_, id)) {
    case SelectionServer::Offer::kBegun:
      return schedule_end(place_of_[pick.peer]);
    case SelectionServer::Offer::kWaits: {
      const auto wait = std::chrono::microseconds(PeerServiceOptions{}.slot_wait).count();
      return at(now_ + wait, Kind::kGiveUp, id, request.attempt);
    }
    case SelectionServer::Offer::kFull:
      return turned_away(id);
  }
}

void SelectionEngine::turned_away(RequestId id) {
  auto& request = requests_[id];
  if (measured()) ++counts_.busy;
  clients_[request.client]->was_busy(request.peer, places_[place_of_[request.peer]].server.load(), time(), random_);
  if (++request.turned_away < kTurnedAwayMax) return at(now_, Kind::kDispatch, id);
  request.turned_away = 0;
  at(now_ + kPause, Kind::kDispatch, id);
}

void SelectionEngine::schedule_end(std::uint32_t place) {
  const auto& server = places_[place].server;
  if (const auto next = server.next_end()) at(std::max(*next, now_), Kind::kEnd, place, server.version());
}

void SelectionEngine::begin_waiting(std::uint32_t place) {
  while (const auto id = places_[place].server.begin_waiting(now_)) {
    auto& request = requests_[*id];
    request.begun = now_;
    ++request.attempt;  // it will not give up
  }
}

void SelectionEngine::end(std::uint32_t number, std::uint64_t version) {
  auto& place = places_[number];
  if (place.server.version() != version) return;
  const auto id = place.server.end(now_);
  begin_waiting(number);
  schedule_end(number);
  auto& request = requests_[id];
  OXBOW_INVARIANT(request.peer == place.peer && under_way_ > 0);
  const auto rate = [&](Micros since) {
    return kStripeBytes * kSecond / static_cast<double>(std::max<Micros>(now_ - since, 1));
  };
  clients_[request.client]->served(request.peer, static_cast<double>(request.begun - request.sent) / 1000,
                                   rate(request.begun), rate(request.sent), place.server.load(), time());
  if (measured() && now_ < end_) ++place.served;
  if (request.arrived >= measured_from_) counts_.ms.push_back(static_cast<double>(now_ - request.arrived) / 1000);
  --under_way_;
  free_.push_back(id);
}

void SelectionEngine::give_up(RequestId id, std::uint64_t attempt) {
  const auto& request = requests_[id];
  if (request.attempt != attempt || !lives(request.peer)) return;
  if (places_[place_of_[request.peer]].server.give_up(id)) turned_away(id);
}

void SelectionEngine::timeout(RequestId id, std::uint64_t attempt) {
  const auto& request = requests_[id];
  if (request.attempt != attempt) return;
  clients_[request.client]->failed(request.peer, time());
  dispatch(id);
}

/// Who is dead leaves the view, and somebody who lives takes the place.
void SelectionEngine::refresh(std::uint32_t client) {
  auto view = clients_[client]->view();
  std::erase_if(view, [this](PeerSerial peer) { return !lives(peer); });
  while (view.size() < view_size(options_, setup_.nodes)) {
    const auto peer = any_peer();
    if (std::ranges::find(view, peer) == view.end()) view.push_back(peer);
  }
  clients_[client]->refresh(view);
  for (const auto peer : view) clients_[client]->told_load(peer, places_[place_of_[peer]].server.load(), time());
}

/// Somebody dies without a word, and a new peer comes in the same place.
void SelectionEngine::death() {
  const double mean = 60 * kSecond / (setup_.leaves * setup_.nodes);
  if (now_ < end_) at(now_ + micros(exponential(random_) * mean) + 1, Kind::kDeath, 0);
  if (now_ == 0 || now_ >= end_) return;
  const auto number = random_.below(setup_.nodes);
  auto& old = places_[number];
  const auto lost = [this](const std::deque<RequestId>& all) {
    for (const auto id : all)
      at(now_ + micros(options_.timeout_ms * 1000), Kind::kTimeout, id, ++requests_[id].attempt);
  };
  lost(old.server.running());
  lost(old.server.waiting());
  auto fresh = make_place(setup_.slow_joiners);
  fresh.peer = static_cast<PeerSerial>(place_of_.size());
  fresh.served = old.served;
  fresh.fast_throughout = false;
  place_of_.push_back(number);
  old = std::move(fresh);
}

}  // namespace oxbow::p2p::sim

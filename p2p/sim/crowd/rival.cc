#include "p2p/sim/crowd/rival.h"

#include <algorithm>

namespace oxbow::p2p::sim {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 30ms;  // with room, and nothing to ask for
constexpr auto kRest = 50ms;  // after a refusal

}  // namespace

Rival::Rival(StrategyContext context, std::uint32_t self, const CrowdWorld& world, std::uint32_t fetches,
             std::chrono::milliseconds patience)
    : context_(std::move(context)),
      self_(self),
      world_(world),
      random_(context_.seed),
      window_(context_.present),
      fetches_(fetches),
      patience_(patience) {}

std::vector<Action> Rival::on_event(Time now, const Event& event) {
  std::vector<Action> actions;
  on_events(now, {&event, 1}, actions);
  return actions;
}

void Rival::on_events(Time now, std::span<const Event> events, std::vector<Action>& actions) {
  now_ = now;
  for (const auto& event : events) take(event, actions);
  decide(actions);
}

void Rival::take(const Event& event, std::vector<Action>& actions) {
  if (const auto* window = std::get_if<WindowChanged>(&event)) {
    window_.set(window->wanted);
    reading_ = window->has_readers;
    if (reading_) return;
    for (const auto& fetch : running_) actions.emplace_back(CancelFetch{fetch.id});
  } else if (const auto* free = std::get_if<SlotsFree>(&event)) {
    upstream_free_ = free->slots;
  } else if (const auto* arrived = std::get_if<StripeArrived>(&event)) {
    window_.arrived(arrived->stripe);
  } else if (const auto* ended = std::get_if<FetchEnded>(&event)) {
    const auto over = running_.take(ended->fetch);
    if (!over) return;
    for (auto stripe = over->fetch.stripes.begin; stripe < over->fetch.stripes.end; ++stripe) window_.unassign(stripe);
    if (ended->outcome || ended->outcome.error().code() == Errc::kCancelled) return;
    resting_.emplace_back(over->fetch.source, now_ + kRest);
    failed(over->fetch.source, ended->outcome.error().code());
  } else if (const auto* fired = std::get_if<TimerFired>(&event)) {
    for (const auto& progress : fired->progress) {
      if (progress.since_last < patience_) continue;
      actions.emplace_back(CancelFetch{progress.fetch});
      if (const auto* fetch = running_.find(progress.fetch)) {
        resting_.emplace_back(fetch->source, now_ + 10'000ms);
        failed(fetch->source, Errc::kTimeout);
      }
    }
  }
}

void Rival::decide(std::vector<Action>& actions) {
  if (!reading_) return;
  std::erase_if(resting_, [this](const auto& one) { return one.second <= now_; });
  while (running_.size() < fetches_ && window_.any_open()) {
    const auto choice = choose();
    if (!choice || (choice->source == kUpstream && upstream_free_ == 0)) break;
    if (choice->source == kUpstream) --upstream_free_;
    RunningFetch fetch;
    fetch.id = next_id_++;
    fetch.source = choice->source;
    fetch.stripes = {choice->stripe, choice->stripe + 1};
    fetch.started = now_;
    window_.assign(choice->stripe);
    actions.emplace_back(Fetch{fetch.id, fetch.source, fetch.stripes});
    running_.add(fetch);
  }
  const bool room = running_.size() < fetches_ && window_.any_open();
  actions.emplace_back(SetTimer{now_ + (room ? kLook : 500ms)});
}

void Rival::failed(SourceId, Errc) {}

std::uint32_t Rival::running_from(SourceId source) const {
  return static_cast<std::uint32_t>(std::ranges::count(running_, source, &RunningFetch::source));
}

bool Rival::resting(SourceId source) const {
  return std::ranges::find(resting_, source, &std::pair<SourceId, Time>::first) != resting_.end();
}

}  // namespace oxbow::p2p::sim

// Swarm, the side of time: slow is not dead, and dead costs a second at most.
#include <algorithm>

#include "p2p/swarm.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kNoProgress = 1'000ms;   // of a peer: it is left
constexpr std::chrono::milliseconds kLeastProgress = 500ms;  // where the longest waits are shorter than that
constexpr std::chrono::milliseconds kNoAnswer = 500ms;       // of one that was away, and is tried again
// On a slow link the streams of a connection take turns with as much as its sender keeps queued
// (core/http/send_rate.h): each of them stands still meanwhile.
constexpr double kTurnBytes = 128.0 * 1024;
constexpr std::chrono::milliseconds kLongestTurn = 3'000ms;
// Where turns take longer than that, ten stripes of each layer at once only wait for one another, seem to be late and
// are asked for twice; so few keep such a link busy as well.
constexpr std::uint32_t kFewFetches = 4;
// Of 4 instead of 10 each should be 2.5 times as fast, if it is our link that they share, and not slow uplinks of many.
constexpr std::uint32_t kTrialStripes = 16;
constexpr double kTrialGain = 1.3;
constexpr auto kLateAfter = 200ms;
constexpr std::uint32_t kAnswersKnown = 3;  // of a coordinator, before its silence is judged by them
constexpr std::chrono::milliseconds kShortestQuiet = 700ms;
constexpr double kLateShare = 0.25;  // of the typical speed

}  // namespace

void Swarm::note_progress() { last_progress_ = now_; }

/// How late things are on these links and these machines is seen from what came.
void Swarm::note_wait(std::chrono::milliseconds waited) { waits_.note(waited, now_); }

std::chrono::milliseconds Swarm::silence() const { return waits_.several(now_, kShortestQuiet, kLongestQuiet); }

std::chrono::milliseconds Swarm::coordinator_silence() const {
  return answers_ < kAnswersKnown ? kLongestQuiet : silence();
}

void Swarm::cancel(Running& fetch) {
  if (fetch.cancelled) return;
  fetch.cancelled = true;
  act(CancelFetch{fetch.id});
}

void Swarm::check_progress(const FetchProgress& progress) {
  auto* fetch = running_.find(progress.fetch);
  if (fetch == nullptr || fetch->cancelled) return;
  auto* one = neighbours_.find(fetch->source);
  if (progress.bytes > fetch->bytes) {
    note_progress();
    if (fetch->bytes == 0 && one != nullptr && !fetch->cut_through) note_wait(now_ - fetch->started);
    if (one != nullptr) one->moved_at = now_;
  }
  fetch->bytes = progress.bytes;
  if (fetch->source == kUpstream) {
    // Registries think longer, and their requests have a limit of their own. What others have is not waited for.
    if (progress.since_last >= kNoProgress && rest_is_held(*fetch)) cancel(*fetch);
    return;
  }
  if (progress.since_last >= patience(one, *fetch)) {
    cancel(*fetch);
    // A cut-through that stands still tells of upstream, or of the lease's holder; not of the path to this peer.
    if (one != nullptr && !fetch->cut_through) peer_failed(*one, 1'000ms, false);
    if (one != nullptr && fetch->cut_through) neighbours_.forget_stripe(*one, fetch->stripes.begin);
    return;
  }
  const bool crawls = late(*fetch);
  if (crawls && one != nullptr && !fetch->cut_through) SwarmNeighbours::crawls(*one, rate_so_far(*fetch));
  if (crawls || progress.since_last >= kLateAfter + 100ms) hedge(*fetch);
}

bool Swarm::rest_is_held(const Running& fetch) const {
  // Without a lease it runs although somebody has it; a stream of the whole goes on past these stripes.
  if (fetch.unleased || whole_only_ || !may_ask_anybody()) return false;
  bool missing = false;
  for (auto stripe = fetch.stripes.begin; stripe < fetch.stripes.end; ++stripe) {
    if (window_.present().has(stripe)) continue;
    if (!neighbours_.held_by_one_that_serves(stripe, now_)) return false;
    missing = true;
  }
  return missing;
}

std::chrono::milliseconds Swarm::patience(const SwarmNeighbour* one, const Running& fetch) const {
  const std::chrono::milliseconds answer(one == nullptr ? 0 : static_cast<std::int64_t>(4 * one->latency_ms));
  // A second was lost to it before; another one would be lost wherever the budget for hedges is used up.
  const bool again = one != nullptr && one->on_trial && fetch.bytes == 0 && !fetch.cut_through;
  // Before a stripe has come from a peer the links are empty, and what comes through a peer is as late as upstream: how
  // quick answers are says nothing of that.
  const bool known = typical_ > 0 && !fetch.cut_through;
  const auto still = known ? waits_.several(now_, kLeastProgress, kNoProgress) : kNoProgress;
  return std::max({again ? kNoAnswer : still, answer, std::min(usual_time(kTurnBytes), kLongestTurn)});
}

std::chrono::milliseconds Swarm::usual_time(double bytes) const {
  return std::chrono::milliseconds(typical_ > 0 ? static_cast<std::int64_t>(bytes / typical_ * 1000) : 0);
}

std::uint32_t Swarm::most_from_peers() const noexcept {
  return crowd_.before > 0 ? std::min(options_.peer_fetches, kFewFetches) : options_.peer_fetches;
}

void Swarm::review_crowd() {
  const bool turns = usual_time(kTurnBytes) > kNoProgress;
  if (crowd_.before <= 0) {
    if (turns && !crowd_.in_vain) crowd_ = {.before = typical_};
  } else if (!turns) {
    crowd_.before = 0;
  } else if (++crowd_.stripes == kTrialStripes && typical_ < kTrialGain * crowd_.before) {
    crowd_ = {.in_vain = true};
  }
}

double Swarm::rate_so_far(const Running& fetch) const {
  const auto ms = std::max<std::int64_t>((now_ - fetch.started).count(), 1);
  return static_cast<double>(fetch.bytes) * 1000 / static_cast<double>(ms);
}

bool Swarm::late(const Running& fetch) const {
  if (typical_ <= 0) return false;
  // What comes through is as slow as upstream: that is nobody's fault, and is late only when somebody has it whole.
  if (fetch.cut_through && !neighbours_.held(fetch.stripes.begin)) return false;
  const auto elapsed = now_ - fetch.started;
  if (elapsed < kLateAfter + usual_time(static_cast<double>(stripe_bytes(fetch.stripes.begin)))) return false;
  return static_cast<double>(fetch.bytes) < kLateShare * typical_ * static_cast<double>(elapsed.count()) / 1000;
}

/// The missing tail is asked for at somebody else too; the first to complete ends the other.
void Swarm::hedge(Running& fetch) {
  if (fetch.hedge_of != 0 || fetch.hedged_by != 0 || peers_ == nullptr) return;
  const auto stripe = fetch.stripes.begin;
  if (!window_.wanted(stripe)) return;
  const auto tail = static_cast<double>(stripe_bytes(stripe) - std::min(fetch.bytes, stripe_bytes(stripe)));
  if (tail > hedge_budget_) return;
  const auto choice = neighbours_.pick_for(now_, stripe, fetch.source, may_ask_anybody(), *peers_, typical_, random_);
  if (!choice) return;
  const auto id = fetch.id;
  hedge_budget_ -= tail;
  fetch_from(*choice, id);  // `fetch` may have moved
}

}  // namespace oxbow::p2p

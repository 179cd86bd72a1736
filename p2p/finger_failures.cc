// Fingers, what goes wrong: failed ways, late stripes, peers to be left alone for a while.
#include <algorithm>

#include "p2p/fingers.h"

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr auto kNoFirstByte = 2'500ms;  // after the answer's head, which has a deadline of its own
constexpr auto kNoProgress = 1'000ms;   // of a stripe that has begun
constexpr auto kLateAfter = 300ms;
constexpr double kLateShare = 0.25;  // of the typical speed
constexpr auto kAway = 2'000ms;
constexpr auto kAwaySlow = 5'000ms;  // who lost to a hedge
constexpr std::uint32_t kRungs = 5;  // own fingers, other fingers, the owner, once more, its successor
constexpr std::uint32_t kOwnerAgain = 3;

}  // namespace

bool Fingers::live(const Peer& peer, bool as_owner) const {
  return peer.state == PeerState::kEligible &&
         std::ranges::none_of(away_, [&](const auto& one) { return one.peer == peer.id && (one.silent || !as_owner); });
}

/// Whoever is slow still owns its keys: another owner would not know what was given to whom.
void Fingers::away(PeerId peer, std::chrono::milliseconds how_long, bool silent) {
  if (peers_ != nullptr && peer == peers_->self()) return;
  std::erase_if(away_, [&](const auto& one) { return one.peer == peer && one.silent == silent; });
  away_.push_back({peer, now_ + how_long, silent});
}

void Fingers::cancel(Running& fetch) {
  if (fetch.cancelled) return;
  fetch.cancelled = true;
  act(CancelFetch{fetch.id});
}

void Fingers::peer_fetch_ended(const Running& fetch, const FetchEnded& event) {
  const auto number = Geometry::span_of(fetch.stripes.begin);
  const auto found = spans_.find(number);
  if (found == spans_.end() || (fetch.hedge_of != 0 && !event.outcome)) return;
  auto& span = found->second;
  if (event.outcome) {
    if (const auto* slower = running_.find(fetch.hedge_of); slower != nullptr && !slower->direct)
      away(slower->source, kAwaySlow, false);
    if (span.phase == Phase::kUnknown) span.phase = Phase::kShared;
    span.rung = 0;
    span.exhausted = false;
    return;
  }
  const auto jitter = std::chrono::milliseconds(20 + random_.below(60));
  switch (event.outcome.error().code()) {
    case Errc::kCancelled:
      if (!fetch.cancelled) return;  // the other side of a hedge was first
      // It stood still, which tells of upstream as often as of the way: the owner knows more, but for what it waits for
      // itself.
      span.rung = std::max(span.rung + 1, 2U);
      if (!fetch.direct || span.rung <= kOwnerAgain) return;
      away(fetch.source, kAway, true);
      span.rung = 2;
      return;
    case Errc::kNotFound:
      if (event.lease) {
        span.phase = Phase::kLed;
        span.led = {fetch.stripes.begin, fetch.stripes.begin + std::max(fetch.wants, 1U)};
        span.rung = 0;
        return;
      }
      std::erase(holders_, fetch.source);
      break;
    case Errc::kBusy:
      waits_.note(now_ - fetch.started, now_);
      // Along another way, and back: what is busy now is free soon.
      span.rung = (span.rung + 1) % 3;
      span.not_before = now_ + jitter;
      return;
    case Errc::kTimeout:
      away(fetch.source, kAway, true);
      break;
    default:
      break;
  }
  // One cut may have come from behind the owner.
  if (fetch.direct && span.rung >= kOwnerAgain) away(fetch.source, kAway, true);
  if (span.phase == Phase::kShared) span.phase = Phase::kUnknown;
  if (++span.rung < kRungs) return;
  span.rung = 0;
  span.exhausted = true;
  span.not_before = now_ + 200ms + jitter;
}

void Fingers::upstream_fetch_ended(const Running& fetch, const FetchEnded& event) {
  const auto found = spans_.find(Geometry::span_of(fetch.stripes.begin));
  if (found != spans_.end() && found->second.phase == Phase::kLed) found->second.phase = Phase::kUnknown;
  if (event.outcome || (event.outcome.error().code() == Errc::kCancelled && !fetch.cancelled)) return;
  upstream_after_ = now_ + 250ms;
}

void Fingers::check_progress(const FetchProgress& progress) {
  auto* fetch = running_.find(progress.fetch);
  if (fetch == nullptr || fetch->cancelled) return;
  if (progress.bytes > fetch->bytes) last_progress_ = now_;
  if (progress.bytes > 0 && fetch->bytes == 0 && fetch->source != kUpstream) waits_.note(now_ - fetch->started, now_);
  fetch->bytes = progress.bytes;
  if (fetch->source == kUpstream) return;  // registries think longer: their requests have a limit of their own
  if (progress.since_last >= (fetch->bytes == 0 ? kNoFirstByte : kNoProgress)) {
    if (!fetch->direct && fetch->bytes > 0) away(fetch->source, kAway, false);
    cancel(*fetch);
    return;
  }
  if (fetch->bytes == 0 || fetch->hedge_of != 0 || fetch->hedged_by != 0) return;
  const auto elapsed = now_ - fetch->started;
  const auto usual = typical_ > 0 ? static_cast<double>(bytes_of(fetch->stripes)) / typical_ * 1000 : 1e9;
  const bool late =
      static_cast<double>((elapsed - kLateAfter).count()) > usual &&
      static_cast<double>(fetch->bytes) < kLateShare * typical_ * static_cast<double>(elapsed.count()) / 1000;
  if (progress.since_last >= kLateAfter || late) hedge(fetch->id);
}

/// Only the client hedges: the missing tail is asked for along another way, and never at upstream.
void Fingers::hedge(FetchId id) {
  const auto& late = *running_.find(id);
  const auto stripe = late.stripes.begin;
  const auto size = bytes_of(late.stripes);
  const auto tail = static_cast<double>(size - std::min(late.bytes, size));
  if (tail > hedge_budget_ || !window_.wanted(stripe) || peers_ == nullptr) return;
  const auto before = running_.size();
  ask(stripe, id);
  if (running_.size() > before) hedge_budget_ -= tail;
}

}  // namespace oxbow::p2p

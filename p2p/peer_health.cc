#include "p2p/peer_health.h"

#include <algorithm>

namespace oxbow::p2p {
namespace {

/// `first`, doubled `times` times, at most `most`.
std::chrono::milliseconds doubled(std::chrono::milliseconds first, std::uint32_t times,
                                  std::chrono::milliseconds most) {
  return std::min(most, std::chrono::milliseconds(first.count() << std::min(times, 20U)));
}

/// Nobody is away for good: the operator can revoke, and a machine may have been repaired.
constexpr std::chrono::milliseconds kSuspensionMax = std::chrono::hours(24 * 7);

}  // namespace

void PeerHealth::contact(Time now) noexcept {
  last_contact_ = last_try_ = now;
  in_doubt_ = false;
  if (circuit_open(now)) return;
  failures_ = 0;
  tripped_ = false;
}

void PeerHealth::hello(Time now) noexcept {
  if (circuit_open(now)) {
    last_contact_ = last_try_ = now;
    open_until_ = now;
  } else {
    contact(now);
  }
}

void PeerHealth::greeted(Time now, bool fresh, const PeerTableOptions& options) noexcept {
  if (fresh || tripped_ || silent(now, options)) last_try_ = std::min(last_try_, last_question_);
}

void PeerHealth::served(Time now) noexcept {
  contact(now);
  if (!tripped_) openings_ = 0;
}

bool PeerHealth::failure(Time now, const PeerTableOptions& options) noexcept {
  in_doubt_ = in_doubt_ || failures_ == 0;
  last_failure_ = last_try_ = now;
  if (circuit_open(now)) return false;  // requests that were under way when it opened
  ++failures_;
  if (!tripped_ && failures_ < options.circuit_failures) return false;
  if (!tripped_ && now - open_until_ > options.circuit_open_max) openings_ = 0;
  open_until_ = now + doubled(options.circuit_open_min, openings_, options.circuit_open_max);
  ++openings_;
  tripped_ = true;
  return true;
}

void PeerHealth::restarted(Time now) noexcept {
  open_until_ = now;
  openings_ = 0;
  tripped_ = false;
  contact(now);
}

bool PeerHealth::suspend(Time now, const PeerTableOptions& options) noexcept {
  // Several stripes of one bad batch may be found after each other: they are one offence.
  if (suspended(now)) return false;
  suspended_until_ = now + doubled(options.suspension, suspensions_, std::max(options.suspension, kSuspensionMax));
  ++suspensions_;
  return true;
}

PeerState PeerHealth::state(Time now, const PeerTableOptions& options, bool draining) const noexcept {
  if (suspended(now)) return PeerState::kSuspended;
  if (draining) return PeerState::kDraining;
  if (silent(now, options)) return PeerState::kSilent;
  if (circuit_open(now)) return PeerState::kCircuitOpen;
  return PeerState::kEligible;
}

void PeerHealth::merge(const PeerHealth& other) noexcept {
  last_contact_ = std::max(last_contact_, other.last_contact_);
  last_try_ = std::max(last_try_, other.last_try_);
  last_question_ = std::max(last_question_, other.last_question_);
  suspended_until_ = std::max(suspended_until_, other.suspended_until_);
  suspensions_ = std::max(suspensions_, other.suspensions_);
}

}  // namespace oxbow::p2p

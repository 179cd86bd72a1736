// What one peer has done lately, and the state that follows: contact and silence, the circuit breaker, suspension.
// Thread rule: one thread at a time (the table's lock). Lifetime: a value. Times are the table's clock.
#pragma once

#include <chrono>
#include <cstdint>

#include "core/clock.h"
#include "p2p/peer_table.h"

namespace oxbow::p2p {

class PeerHealth {
 public:
  using Time = Clock::Steady;

  /// A new peer counts as heard of at `now`: it may be selected until it has failed to answer.
  explicit PeerHealth(Time now) : last_contact_(now) {}

  /// Any answer. Closes a half-open circuit; one that is still open stays so, because answers of requests that were
  /// sent before may arrive late.
  void contact(Time now) noexcept;
  /// It answered a question that was asked to find out: an open circuit becomes half-open.
  void hello(Time now) noexcept;
  /// It said hello to us, which does not tell that we reach it. Whom we could not reach, or who is `fresh` (we have not
  /// asked this process yet), is asked in the next round, but no sooner than an interval after the last question.
  void greeted(Time now, bool fresh, const PeerTableOptions& options) noexcept;
  /// It served a verified stripe: the circuit's next opening is short again.
  void served(Time now) noexcept;
  /// No answer. True: this one opened the circuit.
  bool failure(Time now, const PeerTableOptions& options) noexcept;
  /// A new process counts as a new peer does: what the last one failed to do is forgotten, its offences are not.
  void restarted(Time now) noexcept;
  /// True: it was not suspended before.
  bool suspend(Time now, const PeerTableOptions& options) noexcept;
  void probed(Time now) noexcept {
    last_try_ = last_question_ = now;
    in_doubt_ = false;
  }

  bool suspended(Time now) const noexcept { return now < suspended_until_; }
  bool circuit_open(Time now) const noexcept { return now < open_until_; }
  bool silent(Time now, const PeerTableOptions& options) const noexcept {
    return last_failure_ > last_contact_ && now - last_contact_ > kSilentIntervals * options.probe_interval;
  }
  /// It has failed once since its last contact and was not asked since: found out before its turn.
  bool in_doubt() const noexcept { return in_doubt_; }
  /// What follows from all of it, for a peer that speaks our version and was not revoked.
  PeerState state(Time now, const PeerTableOptions& options, bool draining) const noexcept;
  Time suspended_until() const noexcept { return suspended_until_; }
  std::uint32_t openings() const noexcept { return openings_; }
  /// When it was last heard of or asked.
  Time last_try() const noexcept { return last_try_; }
  Time last_contact() const noexcept { return last_contact_; }
  /// When it was last asked only to find out.
  Time last_question() const noexcept { return last_question_; }
  /// Takes over what was known of the same peer under another name.
  void merge(const PeerHealth& other) noexcept;

 private:
  static constexpr int kSilentIntervals = 3;

  Time last_contact_;
  Time last_try_{};
  Time last_question_{};
  Time last_failure_{};
  Time open_until_{};
  Time suspended_until_{};
  std::uint32_t failures_ = 0;     ///< in a row
  std::uint32_t openings_ = 0;     ///< of the circuit, lately
  std::uint32_t suspensions_ = 0;  ///< ever
  bool in_doubt_ = false;
  bool tripped_ = false;  ///< the circuit is open or half-open
};

}  // namespace oxbow::p2p

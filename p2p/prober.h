// Says hello to members: it names those that are known by address only, finds restarts, and keeps the peer table clean
// of who is gone. The detector for data is the request's own timeout; a probe never decides about a running pull.
//
// Its cost is bounded however large the cluster is: a round, one every `interval`, says hello to at most
// `probes_per_round` members, those first that were not heard of or asked for the longest time. Who was heard of within
// the interval is not asked.
//
// Thread rule: one loop; `start`, `stop`, `wake` from any thread. Lifetime: stopped before the table and the client
// end; a hello that is under way then is let run out and ignored.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "core/metrics.h"
#include "core/task.h"
#include "p2p/peer_client.h"
#include "p2p/peer_table.h"

namespace oxbow::p2p {

struct ProberOptions {
  std::chrono::milliseconds interval{5'000};  ///< as the table's probe_interval; jittered by a quarter
  std::chrono::milliseconds timeout{2'000};
  std::size_t probes_per_round = 64;
  std::size_t unnamed_per_round = 128;  ///< members without a name are asked in rounds of their own, one a second
};

/// How many peers are told at once that this node goes away: with those that it deals with now it has had contact last.
/// The others hear of it when they ask, or find that nobody answers.
inline constexpr std::size_t kTellMax = 256;

class Prober {
 public:
  /// `own` is asked for this node's hello once a probe. `seed` is for the jitter.
  Prober(ProberOptions options, PeerTable& table, PeerClient& client, std::function<Hello()> own, Loop& loop,
         MetricsRegistry& metrics, std::uint64_t seed);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  /// A peer's process is another one than before: it has lost its coordinator state. Called on whichever thread noted
  /// the hello. Registered before `start`.
  void on_new_incarnation(std::function<void(PeerId)> listener);
  /// Every answer, on the loop: for comparing settings. Registered before `start`.
  void on_hello(std::function<void(PeerId, const Hello&)> listener);

  void start();
  void stop();
  /// The next round now: membership has new members.
  void wake();
  /// Says hello to the `kTellMax` eligible members that were heard of last, however lately, and does not wait for their
  /// answers: what `own` says has changed. Who says nothing for a second has not answered.
  void tell();

  /// One round, its hellos spread over `spread`; returns when the last one was sent. On the loop.
  Task<> round(std::chrono::milliseconds spread);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace oxbow::p2p

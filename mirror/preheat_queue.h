// The preheats that this node carries out, for whichever node asks: a few at once, the others wait, and those that have
// ended are remembered for a while. Thread rule: any thread. Lifetime: outlives the peer service; `close` before the
// loops end.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "core/metrics.h"
#include "mirror/preheat_job.h"
#include "p2p/peer_preheats.h"

namespace oxbow::mirror {

class PreheatQueue final : public p2p::PeerPreheats {
 public:
  struct Limits {
    std::size_t running = 2;      ///< `preheats_running` counts how often one had to wait
    std::size_t waiting = 16;     ///< `preheats_waiting` counts refusals
    std::size_t remembered = 64;  ///< that have ended
  };

  PreheatQueue(Limits limits, PreheatJob::Parts parts, Loops& loops, MetricsRegistry& metrics);

  Result<p2p::PreheatReport> start(const std::string& from, const p2p::PreheatAsk& ask) override;
  Result<p2p::PreheatReport> report(std::string_view id) override;
  Result<p2p::PreheatReport> cancel(std::string_view id) override;
  /// Cancels all, and takes no more. Those that run end within a second; it outlives them.
  void close();
  std::size_t running() const;

 private:
  using Job = std::shared_ptr<PreheatJob>;

  // Under the lock:
  Job find(std::string_view id) const;
  void begin_next();
  void forget_oldest();

  Task<> run(Job job);

  const Limits limits_;
  const PreheatJob::Parts parts_;
  Loops& loops_;
  Counter& waiting_hits_;
  Counter& running_hits_;
  Gauge& running_gauge_;
  mutable std::mutex mutex_;
  std::deque<Job> waiting_;
  std::vector<Job> running_;
  std::deque<Job> ended_;  ///< oldest first
  std::size_t next_loop_ = 0;
  bool closed_ = false;
};

}  // namespace oxbow::mirror

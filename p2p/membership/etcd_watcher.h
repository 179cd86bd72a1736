// Follows one key, or all keys with a prefix, in etcd: a range, then a watch from the revision after it. A watch that
// is broken or hangs goes on from the last revision it has seen; a compacted one, or one of a store that has gone back
// in time, begins with a range again.
// Thread rule: callbacks on its own thread, one at a time; `start`, `stop` from one owner; `resync` from anywhere.
// Lifetime: stopped before what the callbacks use ends.
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "p2p/membership/backoff.h"
#include "p2p/membership/etcd_client.h"
#include "p2p/membership/etcd_json.h"
#include "p2p/membership/stoppable_thread.h"

namespace oxbow::p2p {

/// etcd says at once that a watch is created, whatever has become of the keys.
inline constexpr std::chrono::milliseconds kWatchCreatedWithin{15'000};
/// 2.5 times etcd's interval of 10 minutes: with up to a tenth of jitter, and one left out after a change, it is 22.
inline constexpr std::chrono::milliseconds kWatchSilence = std::chrono::minutes(25);

class EtcdWatcher {
 public:
  struct Entry {
    std::string value;
    std::int64_t mod_revision = 0;
    bool operator==(const Entry&) const = default;
  };
  using State = std::map<std::string, Entry>;  ///< by whole key
  struct Events {
    std::function<void(const State&)> on_state;    ///< after a range; after changes, at most every 100 ms
    std::function<void()> on_well;                 ///< the watch stands
    std::function<void(const Error&)> on_failure;  ///< it will be tried again
  };
  /// `end` empty: one key, which is read anew after each break, so that nothing of it can be missed.
  EtcdWatcher(const EtcdOptions& options, std::string key, std::string end, Events events,
              const StreamLimits& limits = {kWatchCreatedWithin, kWatchSilence});
  ~EtcdWatcher() { stop(); }

  Result<> start() {
    return thread_.start("etcd-watch", [this] { run(); });
  }
  void stop() { thread_.stop(); }
  /// Reads everything again: what was followed may be gone.
  void resync();

 private:
  void run();
  Result<> load();
  Error follow();
  Result<> take(std::string_view line);
  void apply(std::vector<etcd::Event> events);
  std::optional<std::chrono::milliseconds> turn();
  std::chrono::milliseconds publish_when_due();

  const std::string key_, end_;
  const Events events_;
  const StreamLimits limits_;
  StoppableThread thread_;
  EtcdClient client_;
  Backoff backoff_;
  State state_;
  std::int64_t revision_ = 0;  ///< what `state_` is of; 0: has to be read
  bool changed_ = false;
  std::chrono::steady_clock::time_point next_publish_{};
  std::atomic<bool> resync_ = false;
};

}  // namespace oxbow::p2p

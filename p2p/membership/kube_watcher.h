// Follows a collection of the Kubernetes API, or one object of it: a list from the API server's cache, then a watch
// from its resourceVersion with bookmarks. A broken watch goes on from the last version that it has seen; when that is
// gone (410), or lies in the future of a server that was restored, everything is listed again, in the end past the
// cache.
// Thread rule: callbacks on its own thread, one at a time; `start`, `stop` from one owner; `refresh` from anywhere.
// Lifetime: stopped before what the callbacks use ends. Source of the order of lists: client-go's reflector.
#pragma once

#include <atomic>
#include <map>
#include <random>
#include <string>

#include "p2p/membership/backoff.h"
#include "p2p/membership/kube_client.h"
#include "p2p/membership/kube_json.h"
#include "p2p/membership/stoppable_thread.h"

namespace oxbow::p2p {

class KubeWatcher {
 public:
  using State = std::map<std::string, kube::Object>;  ///< by name
  struct Events {
    /// After a list; after changes, at most every 100 ms; and when the time that it answers with is over.
    std::function<std::optional<std::chrono::milliseconds>(const State&)> on_state;
    std::function<void()> on_well;                 ///< the watch stands
    std::function<void(const Error&)> on_failure;  ///< it will be tried again
  };
  /// `path` without a query; `selector`: of labels or fields, escaped, as in `labelSelector=a%3Db`.
  KubeWatcher(const KubernetesOptions& options, std::string path, std::string selector, Events events);
  ~KubeWatcher() { stop(); }

  Result<> start(const char* thread_name) {
    return thread_.start(thread_name, [this] { run(); });
  }
  void stop() { thread_.stop(); }
  /// Tells the state again.
  void refresh();

 private:
  enum class From : std::uint8_t { kCache, kLast, kStore };

  void run();
  Result<> load();
  Result<> follow();
  Result<> take(std::string_view line);
  std::optional<std::chrono::milliseconds> publish_when_due();

  const std::string path_, selector_;
  const Events events_;
  StoppableThread thread_;
  KubeClient client_;
  Backoff backoff_;
  std::minstd_rand random_{std::random_device{}()};
  State state_;
  kube::ResourceVersion version_;  ///< what `state_` is of
  bool listed_ = false;            ///< a watch can go on from `version_`
  From from_ = From::kCache;       ///< what the next list is of
  bool changed_ = false;
  std::chrono::steady_clock::time_point next_publish_{};
  std::chrono::steady_clock::time_point again_ = std::chrono::steady_clock::time_point::max();
  std::atomic<bool> refresh_ = false;
};

}  // namespace oxbow::p2p

// Keeps this node's key in etcd under a lease: grant, put, keep-alive at a third of its time; all anew when the lease
// is lost. Leaving revokes the lease, so that the others see it at once. Thread rule: callbacks on its own thread;
// `start`, `stop` from one owner; `put_again` from anywhere. Lifetime: stopped before what the callbacks use ends.
#pragma once

#include "p2p/membership/etcd_client.h"
#include "p2p/membership/etcd_watcher.h"
#include "p2p/membership/stoppable_thread.h"

namespace oxbow::p2p {

class EtcdRegistration {
 public:
  struct Events {
    std::function<void()> on_well;
    std::function<void(const Error&)> on_failure;
    std::function<void()> on_lease_lost;  ///< the store may have lost its data
  };
  EtcdRegistration(const EtcdOptions& options, std::string key, std::string value, Events events);
  ~EtcdRegistration() { stop(); }

  Result<> start() {
    return thread_.start("etcd-lease", [this] { run(); });
  }
  /// Revokes the lease, for at most a second at each endpoint.
  void stop() { thread_.stop(); }
  /// Somebody has removed the key.
  void put_again();

 private:
  void run();
  Result<> step();
  Result<> grant();
  Result<> put();
  Result<> keep_alive();
  void lose_lease();
  void revoke();

  const EtcdOptions options_;
  const std::string key_, value_;
  const Events events_;
  StoppableThread thread_;
  EtcdClient client_;
  Backoff backoff_;
  std::int64_t lease_ = 0;  ///< 0: none
  std::chrono::milliseconds ttl_;
  bool written_ = false;
  std::atomic<bool> put_again_ = false;
};

}  // namespace oxbow::p2p

// Where this node is: the labels of its own Node object, read when it starts and once an hour. Many clusters do not
// allow it; then the zone that EndpointSlices tell is all that is known.
// Thread rule: callback on its own thread; `start`, `stop` from one owner. Lifetime: stopped before what the callback
// uses ends.
#pragma once

#include "p2p/membership/backoff.h"
#include "p2p/membership/kube_client.h"
#include "p2p/membership/stoppable_thread.h"

namespace oxbow::p2p {

class KubeOwnNode {
 public:
  using OnLocation = std::function<void(std::vector<std::string>)>;
  KubeOwnNode(const KubernetesOptions& options, std::string name, OnLocation on_location);
  ~KubeOwnNode() { stop(); }

  Result<> start() {
    return thread_.start("kube-node", [this] { run(); });
  }
  void stop() { thread_.stop(); }

 private:
  void run();
  std::chrono::milliseconds look();

  const std::string path_, name_;
  const std::vector<std::string> labels_;
  const OnLocation on_location_;
  StoppableThread thread_;
  KubeClient client_;
  Backoff backoff_;
  bool said_ = false;  ///< why it cannot be read
};

}  // namespace oxbow::p2p

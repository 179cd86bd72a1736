// libcurl's multi interface on one event loop: connections, DNS and TLS sessions of everything that this loop asks
// upstream. Thread rule: created, used and destroyed on its loop (or before the loop runs, or after it has stopped).
// Lifetime: the loop outlives it. Destroying or closing it ends what runs with kCancelled.
#pragma once

#include <cstddef>
#include <memory>

#include "core/task.h"

namespace oxbow::mirror::upstream {

struct CurlLoopOptions {
  /// Connections of this loop, idle ones in it; further exchanges wait inside libcurl.
  std::size_t max_connections = 256;
  std::size_t max_idle_connections = 64;
};

class CurlLoop {
 public:
  explicit CurlLoop(Loop& loop, CurlLoopOptions options = {});
  ~CurlLoop();
  CurlLoop(const CurlLoop&) = delete;
  CurlLoop& operator=(const CurlLoop&) = delete;

  Loop& loop() noexcept;
  /// Ends every exchange with kCancelled; later ones end so at once.
  void close();

  class Core;
  const std::shared_ptr<Core>& core() const noexcept { return core_; }

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace oxbow::mirror::upstream

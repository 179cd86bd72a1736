// Whether the disk takes writes. An error turns writing off, is said once, and a probe turns it on again.
// Thread rule: every method from any thread; `probe` blocks.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "core/error.h"
#include "core/metrics.h"

namespace oxbow::storage {

class DiskHealth {
 public:
  DiskHealth(std::string directory, MetricsRegistry& metrics);

  bool writable() const noexcept { return writable_.load(std::memory_order_relaxed); }
  /// Why not; for callers that were refused.
  Error error() const;
  void write_failed(const Error& error);
  void read_failed(const Error& error);
  void recovered();

 private:
  const std::string directory_;
  prometheus::Family<Counter>& errors_;
  Counter& read_errors_;
  Counter& write_errors_;
  Gauge& writable_gauge_;
  std::atomic<bool> writable_ = true;
  mutable std::mutex mutex_;
  Error error_{Errc::kIo, ""};
};

}  // namespace oxbow::storage

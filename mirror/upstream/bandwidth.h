// A registry's bandwidth: token buckets for all and for each class, that may go into debt for what libcurl has already
// read. Thread rule: all methods from any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>

#include "core/metrics.h"
#include "core/signal.h"
#include "core/token_bucket.h"
#include "mirror/upstream/config.h"

namespace oxbow::mirror::upstream {

class Bandwidth {
 public:
  Bandwidth(std::uint64_t bytes_per_s, const std::array<std::uint64_t, kFetchClasses>& class_bytes_per_s,
            Counter& hits);

  /// Accounts `bytes` that have come, and says how long to read nothing afterwards.
  std::chrono::nanoseconds take(FetchClass fetch_class, std::size_t bytes, SteadyTime now);

 private:
  const bool unlimited_;
  std::mutex mutex_;
  TokenBucket all_;
  std::array<TokenBucket, kFetchClasses> classes_;
  Counter& hits_;
};

}  // namespace oxbow::mirror::upstream

// One URL of a registry: whether it may be asked now. Holds its circuit breaker (5 failures in a row, or 3 of them
// without any answer, open it for 1 s, doubling to 60 s; then one probe at a time) and the time until which a 429 wants
// it left alone. Thread rule: all methods from any thread.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>

#include "core/clock.h"
#include "core/metrics.h"
#include "mirror/upstream/upstream.h"

namespace oxbow::mirror::upstream {

class Endpoint {
 public:
  /// `circuit` shows 0 closed, 1 half-open, 2 open.
  Endpoint(std::string url, Clock& clock, Gauge& circuit);

  const std::string& url() const noexcept { return url_; }
  const std::string& origin() const noexcept { return origin_; }
  bool secure() const noexcept { return origin_.starts_with("https:"); }

  enum class Admission { kYes, kOpen, kThrottled };
  /// kYes must be followed by one of the three below.
  Admission admit();
  void succeeded();
  /// `why`: for people; kept until it answers again. `silent`: no answer came in time, for which somebody has waited.
  void failed(std::string why = {}, bool silent = false);
  /// The exchange was given up and says nothing about the URL.
  void undecided();

  /// A 429; without a time of its own the wait starts at 1 s and doubles.
  void throttle(std::optional<std::chrono::milliseconds> retry_after);
  /// What is left of it.
  std::chrono::milliseconds throttled_for() const;

  UrlHealth health() const;

 private:
  const std::string url_;
  const std::string origin_;
  Clock& clock_;
  Gauge& circuit_;
  mutable std::mutex mutex_;
  int failures_ = 0;
  std::string last_error_;
  bool probing_ = false;
  std::chrono::milliseconds open_for_{0};
  Clock::Steady open_until_{};
  int throttles_ = 0;
  Clock::Steady throttled_until_{};
};

}  // namespace oxbow::mirror::upstream

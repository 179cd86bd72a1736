#include "mirror/upstream/endpoint.h"

#include <algorithm>

#include "core/log.h"
#include "mirror/upstream/url.h"

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::milliseconds;

constexpr int kFailuresToOpen = 5;
constexpr int kSilenceCounts = 2;  // an error is told at once, silence costs each client seconds
constexpr milliseconds kFirstOpen{1'000};
constexpr milliseconds kLongestOpen{60'000};
constexpr milliseconds kFirstThrottle{1'000};
// Also where the registry names no time or less: it must not be asked in a tight loop.
constexpr milliseconds kLeastThrottle{50};
constexpr int kMostDoublings = 5;

}  // namespace

Endpoint::Endpoint(std::string url, Clock& clock, Gauge& circuit)
    : url_(std::move(url)), origin_(split_url(url_).value_or(UrlParts{}).origin()), clock_(clock), circuit_(circuit) {}

Endpoint::Admission Endpoint::admit() {
  std::lock_guard lock(mutex_);
  const auto now = clock_.steady();
  if (now < throttled_until_) return Admission::kThrottled;
  if (failures_ < kFailuresToOpen) return Admission::kYes;
  if (now < open_until_ || probing_) return Admission::kOpen;
  probing_ = true;
  circuit_.Set(1);
  return Admission::kYes;
}

void Endpoint::succeeded() {
  bool was_open = false;
  {
    std::lock_guard lock(mutex_);
    was_open = failures_ >= kFailuresToOpen;
    failures_ = 0;
    last_error_.clear();
    throttles_ = 0;
    probing_ = false;
    open_for_ = milliseconds(0);
    circuit_.Set(0);
  }
  if (was_open) log::info("upstream answers again", {{"url", printable_url(url_)}});
}

void Endpoint::failed(std::string why, bool silent) {
  milliseconds open_for{0};
  {
    std::lock_guard lock(mutex_);
    last_error_ = std::move(why);
    const bool was_probe = std::exchange(probing_, false);
    const bool was_open = failures_ >= kFailuresToOpen;
    failures_ += silent ? kSilenceCounts : 1;
    if (failures_ < kFailuresToOpen) return;
    // Exchanges that were under way when it opened say nothing new.
    if (was_open && !was_probe) return;
    open_for = open_for_ = std::clamp(open_for_ * 2, kFirstOpen, kLongestOpen);
    open_until_ = clock_.steady() + open_for_;
    circuit_.Set(2);
  }
  if (open_for == kFirstOpen) log::warn("upstream fails and is left alone for a while", {{"url", printable_url(url_)}});
}

void Endpoint::undecided() {
  std::lock_guard lock(mutex_);
  if (std::exchange(probing_, false)) circuit_.Set(2);
}

void Endpoint::throttle(std::optional<milliseconds> retry_after) {
  std::lock_guard lock(mutex_);
  const auto doublings = 1 << std::min(throttles_, kMostDoublings);
  const auto wait = std::max(retry_after.value_or(kFirstThrottle * doublings), kLeastThrottle * doublings);
  ++throttles_;
  probing_ = false;
  throttled_until_ = std::max(throttled_until_, clock_.steady() + wait);
}

milliseconds Endpoint::throttled_for() const {
  std::lock_guard lock(mutex_);
  return std::max(milliseconds(0), std::chrono::ceil<milliseconds>(throttled_until_ - clock_.steady()));
}

UrlHealth Endpoint::health() const {
  std::lock_guard lock(mutex_);
  UrlHealth health{.url = printable_url(url_), .circuit = UrlHealth::Circuit::kClosed, .last_error = last_error_};
  if (failures_ >= kFailuresToOpen) {
    health.circuit =
        probing_ || clock_.steady() >= open_until_ ? UrlHealth::Circuit::kHalfOpen : UrlHealth::Circuit::kOpen;
  }
  return health;
}

}  // namespace oxbow::mirror::upstream

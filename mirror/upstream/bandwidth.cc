#include "mirror/upstream/bandwidth.h"

#include <algorithm>

namespace oxbow::mirror::upstream {
namespace {

using std::chrono::nanoseconds;

// The least pause worth a timer.
constexpr nanoseconds kLeastPause = std::chrono::milliseconds(2);

}  // namespace

Bandwidth::Bandwidth(std::uint64_t bytes_per_s, const std::array<std::uint64_t, kFetchClasses>& class_bytes_per_s,
                     Counter& hits)
    : unlimited_(bytes_per_s == 0 && std::ranges::all_of(class_bytes_per_s, [](auto limit) { return limit == 0; })),
      all_(bytes_per_s),
      hits_(hits) {
  for (std::size_t i = 0; i < kFetchClasses; ++i) classes_[i] = TokenBucket(class_bytes_per_s[i]);
}

nanoseconds Bandwidth::take(FetchClass fetch_class, std::size_t bytes, SteadyTime now) {
  if (unlimited_) return nanoseconds(0);
  std::lock_guard lock(mutex_);
  const auto wait = std::max(all_.take(bytes, now), classes_[static_cast<std::size_t>(fetch_class)].take(bytes, now));
  if (wait < kLeastPause) return nanoseconds(0);
  hits_.Increment();
  return wait;
}

}  // namespace oxbow::mirror::upstream

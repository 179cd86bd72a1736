// Values of the daemon's own metrics, for answers that are made of them: what /metrics shows and what the API says
// cannot disagree. Thread rule: built and read by one thread; takes as long as a scrape.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/metrics.h"

namespace oxbow::mirror {

class MetricReading {
 public:
  explicit MetricReading(const MetricsRegistry& metrics) : families_(metrics.Collect()) {}

  /// The sum of a family's counters and gauges that have all these labels; 0 without any.
  double sum(std::string_view family, const std::vector<std::pair<std::string, std::string>>& labels = {}) const;
  /// The same of whole numbers: bytes.
  std::uint64_t bytes(std::string_view family,
                      const std::vector<std::pair<std::string, std::string>>& labels = {}) const {
    return static_cast<std::uint64_t>(sum(family, labels));
  }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace oxbow::mirror

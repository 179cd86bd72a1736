#include "mirror/admin/metric_reading.h"

#include <algorithm>

namespace oxbow::mirror {
namespace {

bool has(const prometheus::ClientMetric& metric, const std::pair<std::string, std::string>& wanted) {
  return std::ranges::any_of(
      metric.label, [&](const auto& label) { return label.name == wanted.first && label.value == wanted.second; });
}

}  // namespace

double MetricReading::sum(std::string_view family,
                          const std::vector<std::pair<std::string, std::string>>& labels) const {
  double total = 0;
  for (const auto& known : families_) {
    if (known.name != family) continue;
    for (const auto& metric : known.metric) {
      if (!std::ranges::all_of(labels, [&](const auto& label) { return has(metric, label); })) continue;
      total += known.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value;
    }
  }
  return total;
}

}  // namespace oxbow::mirror

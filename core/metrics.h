// Metrics: each room registers its own families on the registry it is given, at start, and keeps references to the
// counters; a metric never fails a handler. Names: docs/operations.md.
// Thread rule: counters from any thread; registration at start.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>

namespace oxbow {

using MetricsRegistry = prometheus::Registry;
using Counter = prometheus::Counter;
using Gauge = prometheus::Gauge;
using Histogram = prometheus::Histogram;

inline prometheus::Family<Counter>& counter_family(MetricsRegistry& registry, const std::string& name,
                                                   const std::string& help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
inline prometheus::Family<Gauge>& gauge_family(MetricsRegistry& registry, const std::string& name,
                                               const std::string& help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
inline prometheus::Family<Histogram>& histogram_family(MetricsRegistry& registry, const std::string& name,
                                                       const std::string& help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}
/// `oxbow_limit_hits_total{limit}`: every limit has a name and is counted here when it is hit.
inline Counter& limit_counter(MetricsRegistry& registry, const std::string& limit) {
  return counter_family(registry, "oxbow_limit_hits_total", "Times a limit was hit, by the limit's name in the config")
      .Add({{"limit", limit}});
}

/// The exposition format, for GET /metrics.
std::string render_metrics(MetricsRegistry& registry);

}  // namespace oxbow

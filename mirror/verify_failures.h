// What did not match its digest or checksum, by source (`upstream`, `peer`).
#pragma once

#include "core/metrics.h"

namespace oxbow::mirror {

inline prometheus::Family<Counter>& verify_failures(MetricsRegistry& metrics) {
  return counter_family(metrics, "oxbow_verify_failures_total",
                        "Stripes or blobs that did not match their digest or checksum");
}

}  // namespace oxbow::mirror

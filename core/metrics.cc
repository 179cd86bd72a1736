#include "core/metrics.h"

#include <prometheus/text_serializer.h>

namespace oxbow {

std::string render_metrics(MetricsRegistry& registry) {
  return prometheus::TextSerializer().Serialize(registry.Collect());
}

}  // namespace oxbow

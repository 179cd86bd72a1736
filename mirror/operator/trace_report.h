// What `oxbow trace` prints: for each blob its last pull on this node, who sent how much, the stripes as a map and,
// when asked, one by one. Thread rule: pure functions, plain values.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "mirror/operator/table.h"
#include "mirror/operator/trace_facts.h"

namespace oxbow::mirror {

struct TracedBlob {
  std::string digest;
  std::optional<std::uint64_t> size_bytes;  ///< as the manifest says
  std::string what;                         ///< "config", "layer"; empty: only its digest is known
  std::optional<TracedPull> pull;           ///< nothing: the node has no record of it
};

struct TraceReport {
  std::string image;     ///< as it was asked for, in full; empty: of a digest or number
  std::string platform;  ///< that was chosen; empty without an image
  std::vector<TracedBlob> blobs;
  std::string since;  ///< from when on the node remembers, RFC 3339
};

struct TraceView {
  Terminal terminal;
  std::chrono::system_clock::time_point now;
  bool stripes = false;  ///< one by one
};

/// Some record is there.
bool has_record(const TraceReport& report);
std::string trace_text(const TraceReport& report, const TraceView& view);
/// `pulls`: what the daemon answered for each blob, null where it has no record.
nlohmann::ordered_json trace_json(const TraceReport& report, const std::vector<nlohmann::ordered_json>& pulls);

}  // namespace oxbow::mirror

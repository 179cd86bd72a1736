#include "mirror/operator/trace_facts.h"

#include <algorithm>
#include <cstdio>

#include "core/bounded_json.h"
#include "mirror/operator/answer_values.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

TracedStripe read_stripe(const Json& json) {
  TracedStripe out;
  if (!json.is_object()) return out;
  out.stripe = bytes_at(json, "stripe");
  out.at = std::chrono::milliseconds(bytes_at(json, "at_ms"));
  out.took = std::chrono::milliseconds(bytes_at(json, "took_ms"));
  out.bytes = bytes_at(json, "bytes");
  out.source = string_at(json, "source");
  out.peer = string_at(json, "peer");
  out.retries = bytes_at(json, "retries");
  out.hedged = flag_at(json, "hedged");
  out.verified = string_at(json, "verified");
  return out;
}

}  // namespace

Result<TracedPull> read_pull(const Json& json) {
  TracedPull out;
  if (!json.is_object()) return fail(Errc::kInvalid, "what the daemon answers is no pull");
  out.digest = string_at(json, "digest");
  out.state = string_at(json, "state");
  if (out.digest.empty() || out.state.empty()) return fail(Errc::kInvalid, "what the daemon answers is no pull");
  out.id = bytes_at(json, "id");
  out.size_bytes = bytes_at(json, "size_bytes");
  const auto registry = string_at(json, "registry");
  if (!registry.empty()) out.repository = registry + "/" + string_at(json, "repository");
  out.error = string_at(json, "error");
  out.started = read_time(string_at(json, "started"));
  out.ended = read_time(string_at(json, "ended"));
  out.stripes = bytes_at(json, "stripes");
  out.done_stripes = bytes_at(json, "done_stripes");
  if (const auto& bytes = part_at(json, "bytes"); bytes.is_object()) {
    out.storage = bytes_at(bytes, "storage");
    out.from_peers = bytes_at(bytes, "peer");
    out.upstream = bytes_at(bytes, "upstream");
  }
  out.readers = bytes_at(json, "readers");
  out.retries = bytes_at(json, "retries");
  out.hedges = bytes_at(json, "hedges");
  out.replaced = bytes_at(json, "replaced");
  out.kept = flag_at(json, "kept", true);
  out.map = string_at(json, "map");
  out.map_stripes = std::max<std::uint64_t>(1, bytes_at(json, "map_stripes"));
  for (const auto& [name, sent] : part_at(json, "peers").items()) {
    if (sent.is_number_unsigned()) out.peers.emplace_back(name, sent.get<std::uint64_t>());
  }
  for (const auto& event : part_at(json, "events")) out.events.push_back(read_stripe(event));
  out.events_dropped = bytes_at(json, "events_dropped");
  return out;
}

std::optional<std::chrono::system_clock::time_point> read_time(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &year, &month, &day, &hour, &minute, &second, &ms) != 7)
    return std::nullopt;
  namespace ch = std::chrono;
  const ch::year_month_day date{ch::year(year), ch::month(static_cast<unsigned>(month)),
                                ch::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  return ch::sys_days(date) + ch::hours(hour) + ch::minutes(minute) + ch::seconds(second) + ch::milliseconds(ms);
}

}  // namespace oxbow::mirror

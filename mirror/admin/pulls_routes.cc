#include "mirror/admin/pulls_routes.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "mirror/admin/api_answer.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json list(const std::vector<PullSummary>& pulls) {
  auto out = Json::array();
  for (const auto& pull : pulls) out.push_back(pull_json(pull));
  return out;
}

Json event_json(const PullEvent& event) {
  return {{"stripe", event.stripe},
          {"at_ms", event.at_ms},
          {"took_ms", event.took_ms},
          {"bytes", event.bytes},
          {"source", to_string(event.source)},
          {"peer", text_or_null(event.peer)},
          {"retries", event.retries},
          {"hedged", event.hedged},
          {"verified", to_string(event.check)}};
}

/// Errors: kInvalid.
Result<std::variant<std::uint64_t, Digest>> parse_which(const std::string& text) {
  std::uint64_t id = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (code == std::errc() && end == text.data() + text.size()) return id;
  auto digest = Digest::parse(text);
  if (!digest) return fail(Errc::kInvalid, text + " is neither the number of a pull nor a digest");
  return *digest;
}

}  // namespace

Json pull_json(const PullSummary& pull) {
  return {{"id", pull.id},
          {"digest", pull.digest.to_string()},
          {"size_bytes", pull.size_bytes},
          {"registry", text_or_null(pull.registry)},
          {"repository", text_or_null(pull.repository)},
          {"started", api_time(pull.started)},
          {"ended", pull.ended ? Json(api_time(*pull.ended)) : Json()},
          {"state", to_string(pull.state)},
          {"stripes", pull.stripes},
          {"stripe_bytes", pull.stripe_bytes},
          {"done_stripes", pull.done_stripes},
          {"bytes", {{"storage", pull.bytes.storage}, {"peer", pull.bytes.peer}, {"upstream", pull.bytes.upstream}}},
          {"readers", pull.readers},
          {"retries", pull.retries},
          {"hedges", pull.hedges},
          {"replaced", pull.replaced},
          {"kept", pull.kept},
          {"error", text_or_null(pull.error)}};
}

Json pull_json(const PullRecord& pull) {
  auto out = pull_json(pull.summary);
  out["map"] = pull.map;
  out["map_stripes"] = pull.map_stripes;
  out["peers"] = Json::object();
  for (const auto& [name, bytes] : pull.peers) out["peers"][name] = bytes;
  out["events"] = Json::array();
  for (const auto& event : pull.events) out["events"].push_back(event_json(event));
  out["events_dropped"] = pull.events_dropped;
  return out;
}

void add_pulls_routes(ApiRoutes& routes, PullJournal& journal) {
  routes.get("/api/v1/pulls", [&journal](const ApiCall& call) -> Result<Json> {
    const auto limit = call.number("limit", kRecentPulls, kRecentPullsMax);
    if (!limit) return std::unexpected(limit.error());
    return Json{{"since", api_time(journal.since())},
                {"running", list(journal.running())},
                {"recent", list(journal.recent(*limit))}};
  });
  routes.get("/api/v1/pulls/{id}", [&journal](const ApiCall& call) -> Result<Json> {
    const auto which = parse_which(call.parameter);
    if (!which) return std::unexpected(which.error());
    const auto events = call.number("events", kPullEvents, kPullEvents);
    if (!events) return std::unexpected(events.error());
    auto pull = journal.find(*which);
    if (!pull) {
      return fail(Errc::kNotFound,
                  "this node remembers no such pull; it remembers the last ones since " + api_time(journal.since()));
    }
    // Who looks each second has no use for all of them.
    if (pull->events.size() > *events) {
      const auto untold = pull->events.size() - *events;
      pull->events.erase(pull->events.begin(), pull->events.begin() + static_cast<std::ptrdiff_t>(untold));
      pull->events_dropped += untold;
    }
    return pull_json(*pull);
  });
}

}  // namespace oxbow::mirror

#include "mirror/admin/status_routes.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "mirror/admin/api_answer.h"
#include "mirror/admin/metric_reading.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
using upstream::UrlHealth;

Json storage_json(const storage::Store& store) {
  const auto usage = store.usage();
  return {
      {"stored_bytes", usage.stored_bytes}, {"pinned_bytes", usage.pinned_bytes}, {"budget_bytes", usage.budget_bytes},
      {"free_bytes", usage.free_bytes},     {"floor_bytes", usage.floor_bytes},   {"blobs", usage.blobs},
      {"stripes", usage.stripes},           {"writable", usage.writable},         {"io_engine", store.io_engine()}};
}

/// Of this process, as the kernel counts it.
Json process_json() {
  std::uint64_t all_pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> all_pages >> resident_pages;
  std::error_code ignored;
  std::uint64_t files = 0;
  for (auto file = std::filesystem::directory_iterator("/proc/self/fd", ignored);
       file != std::filesystem::directory_iterator(); file.increment(ignored))
    ++files;
  return {{"rss_bytes", resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))}, {"open_files", files}};
}

Json peers_json(const ViewPeers& view_peers) {
  const auto view = view_peers();
  if (!view) return nullptr;
  std::map<std::string, std::uint64_t> by_state;
  for (const auto& peer : view->peers->peers()) {
    if (!view->peers->is_self(peer)) ++by_state[std::string(p2p::to_string(peer.state))];
  }
  if (view->unnamed > 0) by_state["unnamed"] = view->unnamed;
  std::uint64_t total = 0;
  for (const auto& [state, count] : by_state) total += count;
  return {{"total", total}, {"eligible", view->peers->eligible_others()}, {"by_state", by_state}};
}

/// "closed": every URL is asked; "partly_open": one is left alone because it failed; "open": all are.
std::string_view state_of(const std::vector<UrlHealth>& urls) {
  const auto closed = std::ranges::count(urls, UrlHealth::Circuit::kClosed, &UrlHealth::circuit);
  if (closed == static_cast<std::ptrdiff_t>(urls.size())) return "closed";
  return closed > 0 ? "partly_open" : "open";
}

Json registry_json(const MirroredRegistry& registry, const MetricReading& metrics) {
  const auto urls = registry.upstream->health();
  Json upstreams = Json::array();
  Json last_error = nullptr;
  for (const auto& url : urls) {
    upstreams.push_back(url.url);
    if (url.last_error.empty()) continue;
    // Some name the URL themselves.
    last_error = url.last_error.starts_with(url.url) ? url.last_error : url.url + ": " + url.last_error;
  }
  return {{"name", registry.config.name},
          {"upstreams", std::move(upstreams)},
          {"credentials", registry.config.credentials == config::Credentials::kNode ? "node" : "client"},
          {"upstream_bytes", metrics.bytes("oxbow_upstream_bytes_total", {{"registry", registry.config.name}})},
          {"state", state_of(urls)},
          {"last_error", std::move(last_error)}};
}

struct Started {
  Clock::Wall wall;
  Clock::Steady steady;
};

Json status_json(const StatusParts& parts, const Started& started) {
  const MetricReading metrics(parts.metrics);
  const auto served = [&](const char* source) {
    return metrics.bytes("oxbow_client_bytes_total", {{"source", source}});
  };
  const auto from_upstream = metrics.bytes("oxbow_upstream_bytes_total");
  const auto given = metrics.bytes("oxbow_client_bytes_total");
  Json registries = Json::array();
  for (const auto& registry : parts.registries()->all()) registries.push_back(registry_json(*registry, metrics));
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(parts.clock.steady() - started.steady);
  return {
      {"version", parts.version},
      {"ready", parts.ready.load()},
      {"started", api_time(started.wall)},
      {"uptime_seconds", uptime.count()},
      {"node", parts.node},
      {"location", parts.location},
      {"process", process_json()},
      {"storage", storage_json(parts.store)},
      {"served",
       {{"storage_bytes", served("storage")}, {"peer_bytes", served("peer")}, {"upstream_bytes", served("upstream")}}},
      {"transfers",
       {{"upstream_in_bytes", from_upstream},
        {"peer_in_bytes", metrics.bytes("oxbow_peer_bytes_total", {{"direction", "in"}})},
        {"peer_out_bytes", metrics.bytes("oxbow_peer_bytes_total", {{"direction", "out"}})}}},
      // What clients got beyond what crossed the upstream link.
      {"upstream_avoided_bytes", given > from_upstream ? given - from_upstream : 0},
      {"pulls_running", parts.pulls_running()},
      {"peers", peers_json(parts.peers)},
      {"registries", std::move(registries)}};
}

}  // namespace

void add_status_routes(ApiRoutes& routes, StatusParts parts) {
  const Started started{parts.clock.wall(), parts.clock.steady()};
  routes.get("/api/v1/status", [parts = std::move(parts), started](const ApiCall&) -> Result<Json> {
    return status_json(parts, started);
  });
}

}  // namespace oxbow::mirror

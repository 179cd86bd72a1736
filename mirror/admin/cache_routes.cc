#include "mirror/admin/cache_routes.h"

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "mirror/admin/api_answer.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
using storage::BlobListing;

constexpr std::uint64_t kListDefault = 1'000;
constexpr std::uint64_t kListMost = 100'000;
constexpr std::uint64_t kEvictionsDefault = 100;
constexpr std::uint64_t kEvictionsMost = 10'000;

/// What a listing is asked for; empty: everything.
struct Filter {
  std::string digest;  ///< its beginning
  std::string registry;
  std::string repository;  ///< with or without the registry in front

  explicit Filter(const ApiCall& call)
      : digest(call.option("digest").value_or("")),
        registry(call.option("registry").value_or("")),
        repository(call.option("repository").value_or("")) {}

  bool by_place() const { return !registry.empty() || !repository.empty(); }
  bool takes(const RepositoryKey& place) const {
    if (!registry.empty() && place.registry != registry) return false;
    return repository.empty() || place.repository == repository ||
           place.registry + "/" + place.repository == repository;
  }
  bool takes(const DigestFacts& facts) const {
    return std::ranges::any_of(facts.places, [this](const auto& place) { return takes(place.repository); });
  }
};

/// The largest first.
std::vector<BlobListing> listing(storage::Store& store, const Filter& filter) {
  auto blobs = store.list();
  if (!filter.digest.empty()) {
    std::erase_if(blobs, [&](const auto& blob) { return !blob.digest.to_string().starts_with(filter.digest); });
  }
  std::ranges::sort(blobs, [](const auto& a, const auto& b) {
    return a.stored_bytes != b.stored_bytes ? a.stored_bytes > b.stored_bytes : a.digest < b.digest;
  });
  return blobs;
}

std::vector<DigestFacts> places_of(DigestMemory& memory, const std::vector<BlobListing>& blobs, std::size_t count) {
  std::vector<Digest> digests;
  for (std::size_t i = 0; i < std::min(count, blobs.size()); ++i) digests.push_back(blobs[i].digest);
  return memory.look_up(digests);
}

Json blob_json(const BlobListing& blob, const DigestFacts& facts, bool running) {
  Json repositories = Json::array();
  for (const auto& place : facts.places)
    repositories.push_back(place.repository.registry + "/" + place.repository.repository);
  return {{"digest", blob.digest.to_string()},
          {"size_bytes", blob.size},
          {"stored_bytes", blob.stored_bytes},
          {"state", blob.state == storage::BlobState::kVerified ? "verified" : "partial"},
          {"pinned", blob.pinned},
          {"repositories", std::move(repositories)},
          {"running", running}};
}

Result<Json> list(const CacheParts& parts, const ApiCall& call) {
  const auto limit = call.number("limit", kListDefault, kListMost);
  if (!limit) return std::unexpected(limit.error());
  const Filter filter(call);
  auto blobs = listing(parts.blobs.store(), filter);
  // Where a blob belongs is looked up for what is shown alone, unless that decides what is shown.
  auto places = places_of(parts.memory, blobs, filter.by_place() ? blobs.size() : *limit);
  std::uint64_t total = 0;
  Json out = Json::array();
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    if (filter.by_place() && !filter.takes(places[i])) continue;
    if (total++ >= *limit) continue;
    out.push_back(blob_json(blobs[i], places[i], parts.blobs.running(blobs[i].digest) != nullptr));
  }
  return Json{{"total", total}, {"blobs", std::move(out)}};
}

Result<Json> evictions(const CacheParts& parts, const ApiCall& call) {
  const auto limit = call.number("limit", kEvictionsDefault, kEvictionsMost);
  if (!limit) return std::unexpected(limit.error());
  Json out = Json::array();
  for (const auto& [digest, bytes] : parts.blobs.store().evictions(*limit))
    out.push_back({{"digest", digest.to_string()}, {"stored_bytes", bytes}});
  return Json{{"evictions", std::move(out)}};
}

Result<Digest> digest_of(const ApiCall& call) {
  const auto text = call.field("digest");
  if (!text) return std::unexpected(text.error());
  return Digest::parse(*text);
}

Error not_here(const Digest& digest) { return {Errc::kNotFound, digest.to_string() + " is not stored on this node"}; }

Result<Json> pin(const CacheParts& parts, const ApiCall& call, bool pinned) {
  const auto digest = digest_of(call);
  if (!digest) return std::unexpected(digest.error());
  if (!parts.blobs.store().peek(*digest)) return std::unexpected(not_here(*digest));
  parts.blobs.store().pin(*digest, pinned);
  log::info(pinned ? "pinned by an operator" : "unpinned by an operator", {{"digest", digest->to_string()}});
  return Json{{"digest", digest->to_string()}, {"pinned", pinned}};
}

bool has_small(storage::Store& store, const Digest& digest) {
  std::promise<bool> promise;
  auto known = promise.get_future();
  store.read_small(digest, [&promise](const auto& body) { promise.set_value(body != nullptr); });
  return known.get();
}

Result<Json> purge(const CacheParts& parts, const ApiCall& call) {
  const auto digest = digest_of(call);
  if (!digest) return std::unexpected(digest.error());
  auto& store = parts.blobs.store();
  if (parts.blobs.running(*digest)) {
    return fail(Errc::kBusy,
                digest->to_string() + " is being pulled: its clients would be cut off; try again after that");
  }
  std::uint64_t bytes = 0;
  const auto blob = store.peek(*digest);
  if (blob) {
    for (std::uint32_t stripe = 0; stripe < blob->geometry().stripes(); ++stripe) {
      if (blob->has(stripe)) bytes += blob->geometry().stripe(stripe).size();
    }
  } else if (!has_small(store, *digest)) {
    return std::unexpected(not_here(*digest));
  }
  store.purge(*digest);
  log::info("purged by an operator", {{"digest", digest->to_string()}, {"bytes", bytes}});
  return Json{{"digest", digest->to_string()}, {"stored_bytes", bytes}};
}

Json scrub_json(const ScrubJob::Report& report) {
  using State = ScrubJob::Report::State;
  const auto* state = report.state == State::kRunning   ? "running"
                      : report.state == State::kDone    ? "done"
                      : report.state == State::kStopped ? "stopped"
                                                        : "none";
  return {{"state", state},
          {"started", report.started ? Json(api_time(*report.started)) : Json(nullptr)},
          {"ended", report.ended ? Json(api_time(*report.ended)) : Json(nullptr)},
          {"stripes", report.found.stripes},
          {"bytes", report.found.bytes},
          {"total_bytes", report.total_bytes},
          {"corrupt", report.found.corrupt}};
}

}  // namespace

void add_cache_routes(ApiRoutes& routes, CacheParts parts) {
  routes.get("/api/v1/cache", [parts](const ApiCall& call) { return list(parts, call); });
  routes.get("/api/v1/cache/evictions", [parts](const ApiCall& call) { return evictions(parts, call); });
  routes.post("/api/v1/cache/pin", [parts](const ApiCall& call) { return pin(parts, call, true); });
  routes.post("/api/v1/cache/unpin", [parts](const ApiCall& call) { return pin(parts, call, false); });
  routes.post("/api/v1/cache/purge", [parts](const ApiCall& call) { return purge(parts, call); });
  routes.get("/api/v1/cache/scrub",
             [parts](const ApiCall&) -> Result<Json> { return scrub_json(parts.scrub.report()); });
  routes.post("/api/v1/cache/scrub", [parts](const ApiCall&) -> Result<Json> {
    if (auto started = parts.scrub.start(); !started) return std::unexpected(std::move(started.error()));
    return scrub_json(parts.scrub.report());
  });
}

}  // namespace oxbow::mirror

#include "mirror/registry_service.h"

#include <boost/asio/redirect_error.hpp>
#include <random>

#include "core/encoding.h"
#include "mirror/late_body.h"
#include "mirror/upstream_source.h"
#include "registry-api/manifest.h"
#include "registry-api/oci_error.h"
#include "registry-api/reference.h"
#include "registry-api/referrers.h"
#include "registry-api/tags.h"

namespace oxbow::mirror {
namespace {

using registry_api::OciCode;
using registry_api::RouteKind;
using registry_api::Subject;

std::string_view route_name(RouteKind kind) noexcept {
  switch (kind) {
    case RouteKind::kBase:
      return "base";
    case RouteKind::kManifest:
      return "manifest";
    case RouteKind::kBlob:
      return "blob";
    case RouteKind::kTags:
      return "tags";
    case RouteKind::kReferrers:
      return "referrers";
    case RouteKind::kPing:
      return "ping";
    case RouteKind::kUpload:
      return "upload";
    case RouteKind::kCatalog:
      return "catalog";
    case RouteKind::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::uint64_t random_nonce() {
  thread_local std::mt19937_64 generator(std::random_device{}());
  return generator();
}

/// A Range that must not apply: the client has another version than ours, which for a digest means another digest.
bool range_applies(const http::Request& request, const Digest& digest) {
  const auto if_range = request.headers.find("If-Range");
  return !if_range || *if_range == '"' + digest.to_string() + '"';
}

/// Decoded text of a client that may go back in a header field.
bool is_printable(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

/// What of a query leads to a page at upstream: all but what is ours.
std::string page_parameters(std::string_view query) {
  std::string out;
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    const auto name = pair.substr(0, pair.find('='));
    if (pair.empty() || name == "ns" || name == "artifactType") continue;
    if (!out.empty()) out += '&';
    out += pair;
  }
  return out;
}

/// What `oxbow pull` shows: where all bytes of the answer come from. Left out where they have several sources.
void add_source(http::Response& response, std::string_view source) {
  response.headers.add("Oxbow-Source", std::string(source));
}

void add_content_headers(http::Response& response, const Digest& digest) {
  response.headers.add("Docker-Content-Digest", digest.to_string());
  response.headers.add("ETag", '"' + digest.to_string() + '"');
  response.headers.add("Accept-Ranges", "bytes");
}

}  // namespace

struct RegistryService::Call {
  http::Request request;
  registry_api::Route route;
  std::shared_ptr<Registries> registries;
  std::optional<std::string> ns;
  std::string registry_label = {};

  bool is_head() const noexcept { return request.method == http::Method::kHead; }
  std::optional<std::string_view> range_header() const { return request.headers.find("Range"); }
};

RegistryService::RegistryService(Parts parts, std::shared_ptr<Registries> registries, std::size_t max_ranges)
    : parts_(parts),
      registries_(std::move(registries)),
      max_ranges_(max_ranges),
      requests_(
          counter_family(parts.metrics, "oxbow_client_requests_total", "Requests of clients, by route and status")),
      first_byte_seconds_(
          histogram_family(parts.metrics, "oxbow_time_to_first_byte_seconds",
                           "From a client's request to the status line of its response")
              .Add({}, Histogram::BucketBoundaries{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 3, 10})) {}

Task<http::Response> RegistryService::handle(http::Request request) {
  const auto received = request.received;
  Call call{std::move(request), {}, registries_.load(), std::nullopt};
  call.route = registry_api::parse_route(call.request.path);
  call.ns = query_value(call.request.query, "ns");
  auto response = co_await route(call);
  if (call.ns && call.route.kind != RouteKind::kPing && is_printable(*call.ns))
    response.headers.add("OCI-Namespace", *call.ns);
  if (call.is_head()) response.body = nullptr;
  count(call, response.status);
  if (received != std::chrono::steady_clock::time_point{}) {
    first_byte_seconds_.Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - received).count());
  }
  co_return response;
}

void RegistryService::count(const Call& call, int status) {
  // Looking a counter up by its labels costs more than a whole small response, so each is looked up once.
  auto& slot =
      counters_[static_cast<std::size_t>(call.route.kind)][static_cast<std::size_t>(std::clamp(status, 0, 599))];
  auto* counter = slot.load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &requests_.Add({{"route", std::string(route_name(call.route.kind))}, {"code", std::to_string(status)}});
    slot.store(counter, std::memory_order_release);
  }
  counter->Increment();
}

Task<http::Response> RegistryService::route(Call& call) {
  const auto kind = call.route.kind;
  if (kind == RouteKind::kPing) co_return http::Response::text(200, "text/plain", "ok\n");
  if (kind == RouteKind::kUnknown) co_return registry_api::oci_error(404, OciCode::kNameUnknown, "no such endpoint");
  const bool reads = call.request.method == http::Method::kGet || call.request.method == http::Method::kHead;
  if (!reads || kind == RouteKind::kUpload || kind == RouteKind::kCatalog) {
    auto response =
        registry_api::oci_error(405, OciCode::kUnsupported, "this is a read-only mirror: push to the registry itself");
    response.headers.add("Allow", "GET, HEAD");
    co_return response;
  }
  if (kind == RouteKind::kBase) {
    auto response = http::Response::text(200, "application/json", "{}");
    response.headers.add("Docker-Distribution-API-Version", "registry/2.0");
    co_return response;
  }
  auto asker = co_await find_asker(call);
  if (!asker) {
    co_return registry_api::oci_error(
        404, OciCode::kNameUnknown,
        "no configured registry serves " + (call.ns ? *call.ns + '/' : std::string()) + call.route.name);
  }
  if (!registry_api::is_lenient_repository_name(asker->repository.repository)) {
    co_return registry_api::oci_error(400, OciCode::kNameInvalid, "not a repository name");
  }
  if (!asker->registry->filter.allows(asker->repository.repository)) {
    co_return registry_api::oci_error(403, OciCode::kDenied,
                                      "this mirror is not allowed to serve " + asker->repository.repository);
  }
  switch (kind) {
    case RouteKind::kManifest:
      co_return co_await manifest(call, std::move(*asker));
    case RouteKind::kBlob:
      co_return co_await blob(call, std::move(*asker));
    case RouteKind::kTags:
      co_return co_await tags_list(call, std::move(*asker));
    default:
      co_return co_await referrers(call, std::move(*asker));
  }
}

Task<std::optional<Asker>> RegistryService::find_asker(Call& call) {
  auto found = call.registries->find(call.ns ? std::optional<std::string_view>(*call.ns) : std::nullopt,
                                     call.route.prefix, call.route.name);
  if (found.unspecified) found = co_await find_unnamed(call);
  if (!found.registry) co_return std::nullopt;
  Asker asker;
  asker.repository = {found.registry->config.name, std::move(found.repository)};
  if (found.registry->config.credentials == config::Credentials::kNode) {
    asker.identity.kind = upstream::IdentityKind::kNode;
  } else if (const auto authorization = call.request.headers.find("Authorization")) {
    asker.identity = {upstream::IdentityKind::kClient, std::string(*authorization)};
  }
  asker.registry = std::move(found.registry);
  co_return asker;
}

Task<Registries::Found> RegistryService::find_unnamed(Call& call) {
  auto by_default = call.registries->by_default(call.route.name);
  const auto digest = Digest::parse(call.route.reference);
  if (!digest) co_return by_default;
  const auto facts = co_await parts_.access.memory().recall(*digest);
  Registries::Found seen;
  std::size_t places = 0;
  bool forwards = false;
  for (const auto& [repository, size] : facts.places) {
    auto registry = call.registries->named(repository.registry);
    if (!registry || call.registries->repository_at(*registry, call.route.name) != repository.repository) continue;
    if (registry == by_default.registry) co_return by_default;
    forwards = forwards || registry->config.credentials == config::Credentials::kClient;
    seen = {std::move(registry), repository.repository};
    ++places;
  }
  // Among several, nobody knows whom a credential is meant for.
  const bool unclear = places > 1 && forwards && call.request.headers.find("Authorization");
  co_return places == 0 || unclear ? by_default : seen;
}

// ---- manifests ----

Task<http::Response> RegistryService::manifest(Call& call, Asker asker) {
  const auto reference = registry_api::parse_reference(call.route.reference);
  if (!reference) co_return registry_api::oci_error_from(reference.error(), Subject::kManifest);
  std::optional<Digest> digest = reference->digest;
  bool stale = false;
  std::vector<std::string> warnings;
  std::optional<Outage> outage;
  if (!digest) {
    auto resolved = co_await parts_.tags.resolve(asker, reference->tag);
    if (!resolved) co_return to_response(resolved.error(), Subject::kManifest);
    digest = resolved->digest;
    stale = resolved->stale;
    warnings = std::move(resolved->warnings);
    outage = std::move(resolved->outage);
  }
  auto content = co_await parts_.contents.get(asker, *digest, Access::Kind::kManifest, std::move(outage));
  if (!content) co_return to_response(content.error(), Subject::kManifest);
  if (warnings.empty()) warnings = std::move(content->warnings);
  auto response = small_response(call, *digest, std::move(*content));
  for (auto& warning : warnings) response.headers.add("Warning", std::move(warning));
  if (stale) response.headers.add("Warning", "111 oxbow \"Revalidation Failed\"");
  co_return response;
}

http::Response RegistryService::small_response(Call& call, const Digest& digest, SmallContent content) {
  const auto& bytes = content.body->bytes;
  http::Response response;
  response.headers.add("Content-Type",
                       content.body->media_type.empty() ? "application/octet-stream" : content.body->media_type);
  add_content_headers(response, digest);
  add_source(response, content.from_storage ? "storage" : content.from_peers ? "peer" : "upstream");
  const auto header = range_applies(call.request, digest) ? call.range_header() : std::nullopt;
  const auto range = registry_api::parse_range(header, bytes.size(), max_ranges_);
  using Kind = registry_api::RangeRequest::Kind;
  std::string_view part = bytes;
  // Never for a manifest: containerd would give up on it, while the whole is always good.
  if (range.kind == Kind::kUnsatisfiable && call.route.kind != RouteKind::kManifest) {
    response = registry_api::oci_error(416, OciCode::kRangeInvalid, "the range is outside the content");
    response.headers.add("Content-Range", registry_api::unsatisfied_range(bytes.size()));
    return response;
  }
  if (range.kind == Kind::kRanges && range.ranges.size() == 1 && !call.is_head()) {
    response.status = 206;
    response.headers.add("Content-Range", registry_api::content_range(range.ranges[0], bytes.size()));
    part = part.substr(range.ranges[0].begin, range.ranges[0].size());
  } else if (range.kind == Kind::kRanges && !call.is_head()) {
    const registry_api::MultipartLayout layout(range.ranges, bytes.size(), "application/octet-stream", random_nonce());
    std::string multipart;
    for (std::size_t i = 0; i < layout.parts(); ++i) {
      multipart += layout.part_header(i);
      multipart += part.substr(layout.part_range(i).begin, layout.part_range(i).size());
    }
    multipart += layout.trailer();
    response.status = 206;
    response.headers.set("Content-Type", layout.content_type());
    response.content_length = multipart.size();
    response.body = std::make_unique<http::StringBody>(std::move(multipart));
    return response;
  }
  response.content_length = part.size();
  if (!call.is_head()) {
    parts_.blobs.count_served(content.from_storage ? Blobs::Served::kStorage
                              : content.from_peers ? Blobs::Served::kPeer
                                                   : Blobs::Served::kUpstream,
                              part.size());
    // One copy less: the whole body is given from where it is kept.
    response.body =
        part.size() == bytes.size()
            ? std::make_unique<http::StringBody>(std::shared_ptr<const std::string>(content.body, &content.body->bytes))
            : std::make_unique<http::StringBody>(std::string(part));
  }
  return response;
}

// ---- blobs ----

void RegistryService::note_served(const Asker& asker, const Digest& digest, const SmallContent& content) {
  const auto source = content.from_storage ? PullSource::kStorage
                      : content.from_peers ? PullSource::kPeer
                                           : PullSource::kUpstream;
  parts_.blobs.journal().served(
      {digest, content.body->bytes.size(), source, asker.repository.registry, asker.repository.repository});
}

http::Response RegistryService::late_response(Call& call, const Asker& asker, const Digest& digest, std::uint64_t size,
                                              std::shared_ptr<SmallContents::Fetch> fetch, Loop& loop) {
  http::Response response;
  add_content_headers(response, digest);
  response.headers.add("Content-Type", "application/octet-stream");
  // Several ranges, or one outside: the whole, which a server may always give instead.
  const auto header = range_applies(call.request, digest) ? call.range_header() : std::nullopt;
  const auto asked = registry_api::parse_range(header, size, max_ranges_);
  ByteRange part{0, size};
  if (asked.kind == registry_api::RangeRequest::Kind::kRanges && asked.ranges.size() == 1 && !call.is_head()) {
    part = asked.ranges[0];
    response.status = 206;
    response.headers.add("Content-Range", registry_api::content_range(part, size));
  }
  response.content_length = part.size();
  if (call.is_head()) return response;
  response.body = std::make_unique<LateBody>(loop, std::move(fetch), size, part,
                                             [this, asker, digest, part](const SmallContent& content) {
                                               parts_.blobs.count_served(Blobs::Served::kUpstream, part.size());
                                               note_served(asker, digest, content);
                                             });
  return response;
}

Task<http::Response> RegistryService::blob(Call& call, Asker asker) {
  const auto digest = Digest::parse(call.route.reference);
  if (!digest) co_return registry_api::oci_error_from(digest.error(), Subject::kBlob);
  SmallContents::Patience patience;
  const auto stored = parts_.blobs.store().lookup(*digest);
  auto admitted = co_await parts_.access.admit(asker, *digest, Access::Kind::kBlob);
  if (!admitted) co_return to_response(admitted.error(), Subject::kBlob);
  // What has verified here has the size that it has; before, the repository's own word counts.
  std::optional<std::uint64_t> size = admitted->size;
  if (stored && stored->state() == storage::BlobState::kVerified) size = stored->geometry().blob_bytes();
  if (!size) {
    if (auto body = co_await parts_.contents.stored(*digest)) size = body->bytes.size();
  }
  if (!size && !admitted->asked) {
    // Named by a manifest that gave a wrong one: upstream knows.
    admitted = co_await parts_.access.admit_anew(asker, *digest, Access::Kind::kBlob);
    if (!admitted) co_return to_response(admitted.error(), Subject::kBlob);
    size = admitted->size;
  }
  if (!size) co_return registry_api::oci_error(502, OciCode::kUnknown, "upstream does not say how large the blob is");
  if (*size <= storage::kSmallBytes) {
    if (*size == 0) patience = {};  // its headers cannot go first: they would be all of it
    auto content =
        co_await parts_.contents.get(asker, *digest, Access::Kind::kBlob, std::move(admitted->outage), patience);
    if (content) {
      if (!call.is_head()) note_served(asker, *digest, *content);
      co_return small_response(call, *digest, std::move(*content));
    }
    if (patience.late && *size > 0)
      co_return late_response(call, asker, *digest, *size, patience.late, *co_await this_loop());
    co_return to_response(content.error(), Subject::kBlob);
  }
  co_return co_await large_blob(call, std::move(asker), *digest, *size);
}

Task<http::Response> RegistryService::large_blob(Call& call, Asker asker, Digest digest, std::uint64_t size) {
  const auto header = range_applies(call.request, digest) ? call.range_header() : std::nullopt;
  auto range = registry_api::parse_range(header, size, max_ranges_);
  using Kind = registry_api::RangeRequest::Kind;
  if (range.kind == Kind::kUnsatisfiable) {
    auto response = registry_api::oci_error(416, OciCode::kRangeInvalid, "the range is outside the blob");
    response.headers.add("Content-Range", registry_api::unsatisfied_range(size));
    co_return response;
  }
  if (range.kind == Kind::kTooMany) {
    co_return registry_api::oci_error(400, OciCode::kRangeInvalid, "too many ranges in one request");
  }
  http::Response response;
  add_content_headers(response, digest);
  BlobRead read{digest, size, {}, false, {}, nullptr};
  if (range.kind == Kind::kWhole || call.is_head()) {
    response.headers.add("Content-Type", "application/octet-stream");
    response.content_length = size;
    read.ranges = {{0, size}};
    read.open_ended = true;
  } else if (range.ranges.size() == 1) {
    response.status = 206;
    response.headers.add("Content-Type", "application/octet-stream");
    response.headers.add("Content-Range", registry_api::content_range(range.ranges[0], size));
    response.content_length = range.ranges[0].size();
    read.ranges = std::move(range.ranges);
    read.open_ended = range.open_ended;
    response.may_be_abandoned = range.open_ended;
  } else {
    response.status = 206;
    read.layout.emplace(range.ranges, size, "application/octet-stream", random_nonce());
    response.headers.add("Content-Type", read.layout->content_type());
    response.content_length = read.layout->total_bytes();
    read.ranges = std::move(range.ranges);
  }
  if (call.is_head()) co_return response;

  read.source = std::make_shared<UpstreamSource>(parts_.access, asker, digest, parts_.curls);
  Loop* loop = co_await this_loop();
  if (const auto stored = parts_.blobs.store().peek(digest);
      stored && stored->complete() && stored->state() == storage::BlobState::kVerified) {
    add_source(response, "storage");
  }
  auto body = std::make_unique<BlobBody>(parts_.blobs, *loop, std::move(read));
  // The status line waits for the first byte, but not for long: the size is known, so the headers can go first. Of the
  // client's patience its admission may have taken a part.
  const auto received = call.request.received;
  const auto began = received == std::chrono::steady_clock::time_point{} ? std::chrono::steady_clock::now() : received;
  const auto deadline = began + kAnswerTimeout;
  asio::steady_timer timer(*loop, deadline);
  for (;;) {
    const auto ready = body->first_byte_ready();
    if (!ready) {
      // A size that a manifest claimed may be the reason: it is asked anew next time.
      if (ready.error().code() == Errc::kCorrupt || ready.error().code() == Errc::kInvalid) {
        co_await parts_.access.memory().forget_size(digest, asker.repository);
      }
      if (ready.error().code() == Errc::kUnauthorized) {
        // Granted before, refused now: the refusal with its challenge belongs to the client.
        auto again =
            co_await parts_.access.ask(asker, {http::Method::kHead, content_path(asker, digest, Access::Kind::kBlob)});
        if (!again && again.error().error.code() != Errc::kUnsupported)
          co_return to_response(again.error(), Subject::kBlob);
      }
      co_return registry_api::oci_error_from(ready.error(), Subject::kBlob);
    }
    if (*ready || std::chrono::steady_clock::now() >= deadline) break;
    timer.expires_at(deadline);
    body->on_ready([&timer] { timer.cancel(); });
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  body->on_ready(nullptr);
  response.body = std::move(body);
  co_return response;
}

// ---- lists ----

Task<http::Response> RegistryService::tags_list(Call& call, Asker asker) {
  const auto query = registry_api::parse_page_query(call.request.query);
  if (!query) co_return registry_api::oci_error(400, OciCode::kPaginationInvalid, query.error().what());
  // All pages of upstream are gathered, so that order and paging are ours: registries differ in both.
  std::vector<std::string> tags;
  std::string path = "/v2/" + asker.repository.repository + "/tags/list";
  std::string page_query;
  for (int page = 0; page < 100; ++page) {
    auto answer = co_await parts_.access.ask(
        asker, {http::Method::kGet, path, page_query, "application/json", registry_api::kMaxTagsBytes});
    if (!answer) co_return to_response(answer.error(), Subject::kRepository);
    auto some = registry_api::parse_tags(answer->body);
    if (!some)
      co_return registry_api::oci_error(502, OciCode::kUnknown,
                                        "upstream's tag list is not one: " + some.error().what());
    tags.insert(tags.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
    const auto link = answer->head.headers.find("Link");
    const auto next = link ? registry_api::next_link(*link) : std::nullopt;
    if (!next || tags.size() >= registry_api::kMaxTags) break;
    const auto mark = next->find('?');
    if (mark == std::string::npos || next->substr(mark + 1) == page_query) break;
    page_query = next->substr(mark + 1);
  }
  const auto own_page =
      registry_api::tags_page(asker.repository.repository, std::move(tags), *query, {call.request.path, call.ns});
  auto response = http::Response::text(200, "application/json", own_page.json);
  if (own_page.link) response.headers.add("Link", *own_page.link);
  co_return response;
}

Task<Outcome<std::string>> RegistryService::fallback_referrers(Asker asker, Digest digest) {
  const auto resolved = co_await parts_.tags.resolve(asker, registry_api::referrers_tag(digest.to_string()));
  if (!resolved) {
    // Nobody attached anything: that is an answer.
    if (resolved.error().error.code() == Errc::kNotFound) co_return registry_api::empty_referrers();
    co_return std::unexpected(resolved.error());
  }
  const auto content = co_await parts_.contents.get(asker, resolved->digest, Access::Kind::kManifest, resolved->outage);
  if (!content) co_return std::unexpected(content.error());
  if (const auto index = registry_api::check_referrers(content->body->bytes); !index) {
    co_return failed(Errc::kCorrupt, "the fallback tag holds no index: " + index.error().what());
  }
  co_return content->body->bytes;
}

Task<http::Response> RegistryService::referrers(Call& call, Asker asker) {
  const auto digest = Digest::parse(call.route.reference);
  if (!digest) co_return registry_api::oci_error(400, OciCode::kDigestInvalid, digest.error().what());
  const auto artifact_type = query_value(call.request.query, "artifactType");
  std::string index;
  std::optional<std::string> link;
  auto answer = co_await parts_.access.ask(
      asker, {http::Method::kGet, "/v2/" + asker.repository.repository + "/referrers/" + digest->to_string(),
              page_parameters(call.request.query), std::string(registry_api::kOciIndexType)});
  if (answer && registry_api::check_referrers(answer->body)) {
    index = std::move(answer->body);
    if (const auto upstream_link = answer->head.headers.find("Link")) {
      link = registry_api::rewrite_link(*upstream_link, {call.request.path, call.ns});
      // The filter is ours, so upstream's link does not carry it on.
      if (link && artifact_type) link->insert(link->find('>'), "&artifactType=" + percent_encode(*artifact_type));
    }
  } else if (answer || answer.error().error.code() == Errc::kNotFound ||
             answer.error().error.code() == Errc::kUnsupported) {
    // A registry without the API: its referrers stand under a tag.
    auto fallback = co_await fallback_referrers(asker, *digest);
    if (!fallback) co_return to_response(fallback.error(), Subject::kManifest);
    index = std::move(*fallback);
  } else {
    co_return to_response(answer.error(), Subject::kManifest);
  }
  if (artifact_type) {
    auto filtered = registry_api::filter_referrers(index, *artifact_type);
    if (!filtered) co_return registry_api::oci_error(502, OciCode::kUnknown, "upstream's referrers are not an index");
    index = std::move(*filtered);
  }
  auto response = http::Response::text(200, std::string(registry_api::kOciIndexType), std::move(index));
  if (artifact_type) response.headers.add("OCI-Filters-Applied", "artifactType");
  if (link) response.headers.add("Link", *link);
  co_return response;
}

}  // namespace oxbow::mirror

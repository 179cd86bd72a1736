#include "p2p/peer_service.h"

#include <fmt/format.h>

#include <atomic>
#include <set>

#include "core/encoding.h"
#include "core/geometry.h"
#include "core/http/peer_certificate.h"
#include "core/log.h"
#include "core/tls/certificate.h"
#include "p2p/have_seats.h"
#include "p2p/have_stream.h"
#include "p2p/peer_answer.h"
#include "p2p/peer_route.h"
#include "p2p/protocol/stripe_fields.h"
#include "p2p/stripe_receivers.h"
#include "p2p/upload_body.h"
#include "p2p/upload_slots.h"

namespace oxbow::p2p {
namespace {

using http::Method;
using http::Request;
using http::Response;

/// Answers up to this size take no upload slot: the tail of a stripe, or a manifest, is worth no wait.
constexpr std::uint64_t kSmallBytes = 64ULL * 1024;

/// What the midstate lists of one answer may weigh in all: beside them there is room for 14 KiB of each of its replies.
constexpr std::size_t kMaxReplyMidstatesBytes = kMaxMessageBytes - kMaxAnnounces * 14UL * 1024;
static_assert(kMaxReplyMidstatesBytes > kMaxStripes * 32UL / 3 * 4, "the longest list of a SHA-256 digest");

/// Of an answer: base64, as it travels.
std::size_t weight_of(const MidstateList& list) {
  return list.states.empty() ? 0 : (list.states.size() * list.states.front().size() + 2) / 3 * 4;
}

/// Tells the copies of one stripe from others. Two stripes that should share a number would wait for each other.
std::uint64_t upload_of(const Digest& digest, std::uint32_t stripe) {
  const auto number = Digest::Hash{}(digest) + stripe * 0x9e3779b97f4a7c15ULL;
  return number == UploadSlots::kAnything ? 1 : number;
}

/// Who asks: a name that the certificate (or, insecurely, the asker) vouches for.
struct Asker {
  std::string name;
  PeerId id = kNoPeer;  ///< kNoPeer: no member that we know of
};

Response not_a_member(const Asker& asker) {
  return error_answer(403, "DENIED", fmt::format("{} is not a member of this cluster; say hello first", asker.name));
}

class Service final : public PeerService {
 public:
  Service(PeerServiceOptions options, PeerServiceParts parts, MetricsRegistry& metrics)
      : options_(options),
        parts_(std::move(parts)),
        requests_(counter_family(metrics, "oxbow_peer_requests_total", "Requests of peers, by route and status")),
        sent_(counter_family(metrics, "oxbow_peer_bytes_total", "Bytes of stripes moved between peers")
                  .Add({{"direction", "out"}})),
        have_streams_hits_(limit_counter(metrics, "peer_have_streams")),
        have_share_hits_(limit_counter(metrics, "peer_have_streams_to_one_peer")),
        midstates_hits_(limit_counter(metrics, "peer_reply_midstates_bytes")),
        upload_stall_hits_(limit_counter(metrics, "peer_upload_stall")),
        rate_(options.upload_bandwidth, limit_counter(metrics, "peer_upload_bandwidth")),
        slots_({options.upload_slots, options.same_stripe, options.upload_waiting},
               {.used = gauge_family(metrics, "oxbow_peer_upload_slots_used", "Upload slots in use").Add({}),
                .all_hits = limit_counter(metrics, "peer_upload_slots"),
                .same_hits = limit_counter(metrics, "peer_uploads_of_one_stripe"),
                .share_hits = limit_counter(metrics, "peer_uploads_to_one_peer")},
               parts_.clock),
        have_seats_({options.have_streams, options.have_streams_each}) {}

  Task<Response> handle(Request request) override {
    const auto route = parse_peer_route(request.path);
    auto response = route ? co_await answer(request, *route) : error_answer(route.error());
    response.headers.set(field::kLoad, to_text(slots_.load()));
    requests_
        .Add({{"route", std::string(route ? to_string(route->kind) : "other")},
              {"code", std::to_string(response.status)}})
        .Increment();
    co_return response;
  }

  Load load() const override { return slots_.load(); }
  void drain() override { draining_ = true; }

 private:
  Result<Asker> identify(const Request& request) const;
  bool revoked(std::string_view name, std::string_view serial) const;
  /// Whether the certificate, by which the connection was made some time, would still be taken.
  Result<> still_good(const std::shared_ptr<http::PeerCertificate>& certificate) const;
  Task<Response> answer(const Request& request, const PeerRoute& route);
  Response hello(const Request& request, const Asker& asker);
  Response announce(const Request& request, const Asker& asker);
  Response blob(const Request& request, const Digest& digest);
  Task<Response> stripe(const Request& request, const PeerRoute& route, const Asker& asker);
  Task<Response> send_stripe(const PeerRoute& route, const StripeFields& fields, const Asker& asker);
  Task<Result<PeerContent::StripeAnswer>> find_stripe(const PeerRoute& route, const StripeFields& fields,
                                                      std::chrono::milliseconds left, Loop& loop);
  Response busy(const PeerRoute& route, const Asker& asker) const;
  Response have(const Request& request, const Digest& digest, const Asker& asker, Loop& loop);
  Task<Response> known(const Request& request, const PeerRoute& route);
  Task<Response> small(const Request& request, const Digest& digest, const Asker& asker);
  Response preheat(const Request& request, const PeerRoute& route, const Asker& asker);
  UploadTerms upload_terms() {
    return {.rate = rate_,
            .bytes = sent_,
            .stall = options_.upload_stall,
            .stall_hits = upload_stall_hits_,
            .clock = parts_.clock};
  }

  const PeerServiceOptions options_;
  const PeerServiceParts parts_;
  prometheus::Family<Counter>& requests_;
  Counter& sent_;
  Counter& have_streams_hits_;
  Counter& have_share_hits_;
  Counter& midstates_hits_;
  Counter& upload_stall_hits_;
  UploadRate rate_;
  UploadSlots slots_;
  StripeReceivers receivers_;
  std::atomic<bool> draining_ = false;
  HaveSeats have_seats_;
};

bool Service::revoked(std::string_view name, std::string_view serial) const {
  const auto peers = parts_.table.snapshot();
  const auto* peer = peers->find(name);
  if (peer != nullptr && peer->state == PeerState::kRevoked) return true;
  return parts_.revoked && (parts_.revoked(name) || (!serial.empty() && parts_.revoked(tls::serial_entry(serial))));
}

Result<> Service::still_good(const std::shared_ptr<http::PeerCertificate>& certificate) const {
  return certificate ? certificate->check(parts_.clock.wall()) : Result<>();
}

Result<Asker> Service::identify(const Request& request) const {
  Asker asker;
  if (options_.insecure) {
    asker.name = request.headers.find(field::kPeer).value_or("");
  } else {
    asker.name = request.peer_name.value_or("");
  }
  if (!is_peer_name(asker.name)) {
    return fail(Errc::kDenied, options_.insecure ? "the field oxbow-peer must name the peer that asks"
                                                 : "a client certificate with a DNS name is needed");
  }
  if (revoked(asker.name, request.peer_serial.value_or(""))) {
    log::info("revoked peer refused", {{"peer", asker.name}, {"remote", request.remote}});
    return fail(Errc::kDenied, fmt::format("the identity of {} was revoked", asker.name));
  }
  if (auto good = still_good(request.peer_certificate); !good) {
    log::info("peer refused", {{"peer", asker.name}, {"remote", request.remote}, log::Field(good.error())});
    return std::unexpected(std::move(good.error()));
  }
  const auto peers = parts_.table.snapshot();
  if (const auto* peer = peers->find(asker.name)) asker.id = peer->id;
  return asker;
}

Task<Response> Service::answer(const Request& request, const PeerRoute& route) {
  using Kind = PeerRoute::Kind;
  const auto asker = identify(request);
  if (!asker) co_return error_answer(asker.error());
  const bool post = request.method == Method::kPost;
  const bool get = request.method == Method::kGet;
  const bool only_post = route.kind == Kind::kAnnounce || route.kind == Kind::kPreheats;
  const bool right_method = only_post                      ? post
                            : route.kind == Kind::kHello   ? post || get
                            : route.kind == Kind::kPreheat ? get || request.method == Method::kDelete
                                                           : get;
  if (!right_method) {
    auto response = error_answer(405, "UNSUPPORTED", "method not allowed");
    response.headers.add("allow", only_post                      ? "POST"
                                  : route.kind == Kind::kHello   ? "GET, POST"
                                  : route.kind == Kind::kPreheat ? "GET, DELETE"
                                                                 : "GET");
    co_return response;
  }
  if (route.kind == Kind::kHello) co_return hello(request, *asker);
  if (asker->id == kNoPeer) co_return not_a_member(*asker);
  switch (route.kind) {
    case Kind::kHello:
      break;
    case Kind::kAnnounce:
      co_return announce(request, *asker);
    case Kind::kBlob:
      co_return blob(request, *route.digest);
    case Kind::kStripe:
      co_return co_await stripe(request, route, *asker);
    case Kind::kHave:
      co_return have(request, *route.digest, *asker, *co_await this_loop());
    case Kind::kKnown:
      co_return co_await known(request, route);
    case Kind::kSmall:
      co_return co_await small(request, *route.digest, *asker);
    case Kind::kPreheats:
    case Kind::kPreheat:
      co_return preheat(request, route, *asker);
  }
  std::unreachable();
}

Response Service::hello(const Request& request, const Asker& asker) {
  if (request.method == Method::kPost) {
    const auto said = parse_hello(request.body);
    if (!said) return error_answer(said.error());
    if (said->facts.name != asker.name) {
      return error_answer(403, "DENIED", fmt::format("{} says hello as {}", asker.name, said->facts.name));
    }
    auto id = asker.id;
    if (id == kNoPeer && parts_.on_hello) {
      parts_.on_hello(*said, request.remote);
      const auto peers = parts_.table.snapshot();
      if (const auto* peer = peers->find(asker.name)) id = peer->id;
    }
    if (id != kNoPeer) parts_.table.note_greeting(id, said->facts);
  }
  return json_answer(to_json(parts_.hello()));
}

Response Service::announce(const Request& request, const Asker& asker) {
  auto announces = parse_announces(request.body);
  if (!announces) return error_answer(announces.error());
  std::vector<AnnounceReply> replies;
  replies.reserve(announces->size());
  // Each list is a copy of millions of bytes: once a digest, and none any more after the one that did not fit.
  std::set<Digest> told;
  std::size_t lists_bytes = 0;
  for (auto& one : *announces) {
    if (lists_bytes > kMaxReplyMidstatesBytes || told.contains(one.digest)) one.know_midstates = true;
    auto reply = parts_.announce(asker.id, one);
    if (reply.midstates) {
      told.insert(one.digest);
      lists_bytes += weight_of(*reply.midstates);
      if (lists_bytes > kMaxReplyMidstatesBytes) {
        reply.midstates.reset();
        midstates_hits_.Increment();
      }
    }
    replies.push_back(std::move(reply));
  }
  return json_answer(to_json(replies));
}

Response Service::blob(const Request& request, const Digest& digest) {
  const auto facts = parts_.content.facts(digest, query_value(request.query, "midstates") == "1");
  if (!facts) return error_answer(404, "NOT_FOUND", "the blob is not known here");
  return json_answer(to_json(*facts));
}

/// Busy: names others that have the stripe, as they said, or as it was sent to them.
Response Service::busy(const PeerRoute& route, const Asker& asker) const {
  auto response = error_answer(503, "BUSY", "no upload slot came free in time");
  std::vector<std::string> others;
  if (parts_.alternatives) others = parts_.alternatives(*route.digest, route.stripe);
  const auto peers = parts_.table.snapshot();
  for (const auto id : receivers_.of(upload_of(*route.digest, route.stripe))) {
    const auto* peer = peers->find(id);
    if (peer == nullptr || id == asker.id || peer->state != PeerState::kEligible) continue;
    if (std::ranges::find(others, peer->member.name) == others.end()) others.push_back(peer->member.name);
  }
  auto names = join_names(others, options_.alternatives);
  if (!names.empty()) response.headers.add(std::string(field::kAlternatives), std::move(names));
  return response;
}

Task<Result<PeerContent::StripeAnswer>> Service::find_stripe(const PeerRoute& route, const StripeFields& fields,
                                                             std::chrono::milliseconds left, Loop& loop) {
  auto here = parts_.content.stripe(*route.digest, fields.blob_bytes, route.stripe, fields.offset, loop);
  if (here || !fields.path || here.error().code() != Errc::kNotFound) co_return here;
  co_return co_await parts_.content.stripe_along(*route.digest, fields.blob_bytes, route.stripe, fields.offset,
                                                 {*fields.path, fields.client, fields.wants, left});
}

Task<Response> Service::stripe(const Request& request, const PeerRoute& route, const Asker& asker) {
  const auto fields = parse_request_fields(request.headers, route.stripe);
  if (!fields) co_return error_answer(fields.error());
  auto response = co_await send_stripe(route, *fields, asker);
  if (const auto have = parts_.content.have_around(*route.digest, fields->blob_bytes, route.stripe))
    response.headers.add(std::string(field::kHave), to_text(*have));
  co_return response;
}

Task<Response> Service::send_stripe(const PeerRoute& route, const StripeFields& fields, const Asker& asker) {
  auto& loop = *co_await this_loop();
  const auto begun = parts_.clock.steady();
  const Geometry geometry(fields.blob_bytes);
  const auto length = geometry.stripe(route.stripe).size() - fields.offset;

  // A request along a path makes this node fetch, so its slot comes first; else what is not here is said at once.
  std::optional<Result<PeerContent::StripeAnswer>> found;
  if (!fields.path) {
    found = parts_.content.stripe(*route.digest, fields.blob_bytes, route.stripe, fields.offset, loop);
  }
  std::optional<UploadSlots::Slot> slot;
  if (length > kSmallBytes && (!found || *found)) {
    // Along a path each hop waits for the one after it: those would wait for each other.
    const auto what =
        fields.path ? UploadSlots::What{}
                    : UploadSlots::What{upload_of(*route.digest, route.stripe), geometry.stripes() <= kInTurnStripes};
    slot = co_await slots_.acquire(std::min(options_.slot_wait, fields.deadline), asker.id, what);
    if (!slot) co_return busy(route, asker);
  }
  if (!found) {
    const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.steady() - begun);
    found = co_await find_stripe(route, fields, fields.deadline - waited, loop);
  }
  if (!*found) {
    const auto& error = found->error();
    if (error.code() == Errc::kInvalid) co_return error_answer(409, "SIZE_DIFFERS", error.what());
    auto response = error_answer(error);
    if (fields.path && error.code() == Errc::kNotFound) response.headers.add(std::string(field::kLease), "1");
    co_return response;
  }

  if (length > kSmallBytes) receivers_.add(upload_of(*route.digest, route.stripe), asker.id);
  auto& [facts, body] = **found;
  Response response;
  response.status = fields.ranged ? 206 : 200;
  response.headers.add("content-type", "application/octet-stream");
  add_answer_fields(facts, route.stripe, response.headers);
  response.content_length = facts.length;
  response.body = make_upload_body(loop, std::move(body), std::move(slot), upload_terms());
  co_return response;
}

Response Service::have(const Request& request, const Digest& digest, const Asker& asker, Loop& loop) {
  if (draining_) return error_answer(503, "BUSY", "going away");
  auto seat = have_seats_.take(asker.id);
  if (!seat.counted) {
    (seat.share_used ? have_share_hits_ : have_streams_hits_).Increment();
    return error_answer(503, "BUSY", "too many have streams are open");
  }
  auto watch = parts_.content.watch_have(digest);
  if (!watch) return error_answer(404, "NOT_FOUND", "the blob is not known here");
  Response response;
  response.headers.add("content-type", "application/x-ndjson");
  response.body = make_have_stream(loop, {.watch = std::move(watch),
                                          .load = [this] { return slots_.load(); },
                                          .allowed =
                                              [this, name = asker.name, serial = request.peer_serial.value_or(""),
                                               certificate = request.peer_certificate] {
                                                return !draining_ && !revoked(name, serial) && still_good(certificate);
                                              },
                                          .counted = std::move(seat.counted),
                                          .clock = parts_.clock});
  return response;
}

Task<Response> Service::known(const Request& request, const PeerRoute& route) {
  const auto reference = query_value(request.query, "reference");
  if (!reference || reference->empty()) {
    co_return error_answer(400, "INVALID", "the query must name a reference");
  }
  const bool may_ask = query_value(request.query, "ask") == "1";
  const auto found = co_await parts_.content.known(route.registry, route.repository, *reference, may_ask);
  if (!found) co_return error_answer(found.error());
  co_return json_answer(to_json(*found));
}

Response Service::preheat(const Request& request, const PeerRoute& route, const Asker& asker) {
  auto* preheats = parts_.preheats ? parts_.preheats() : nullptr;
  if (preheats == nullptr) return error_answer(404, "NOT_FOUND", "this node takes no preheats");
  if (draining_) return error_answer(503, "BUSY", "going away");
  Result<PreheatReport> report = fail(Errc::kInvalid, "");
  if (route.kind == PeerRoute::Kind::kPreheat) {
    report = request.method == Method::kDelete ? preheats->cancel(route.id) : preheats->report(route.id);
  } else {
    const auto ask = parse_preheat_ask(request.body);
    if (!ask) return error_answer(ask.error());
    report = preheats->start(asker.name, *ask);
  }
  return report ? json_answer(to_json(*report)) : error_answer(report.error());
}

Task<Response> Service::small(const Request& request, const Digest& digest, const Asker& asker) {
  const auto deadline = parse_deadline(request.headers);
  if (!deadline) co_return error_answer(deadline.error());
  const auto found = co_await parts_.content.small(digest);
  if (!found.bytes || found.bytes->size() > kMaxSmallBytes) {
    co_return error_answer(404, "NOT_FOUND", "the content is not kept whole here");
  }
  std::optional<UploadSlots::Slot> slot;
  if (found.bytes->size() > kSmallBytes) {
    slot = co_await slots_.acquire(std::min(options_.slot_wait, *deadline), asker.id, UploadSlots::What{});
    if (!slot) co_return error_answer(503, "BUSY", "no upload slot came free in time");
  }
  Response response;
  response.headers.add("content-type", found.media_type.empty() ? "application/octet-stream" : found.media_type);
  response.content_length = found.bytes->size();
  response.body = make_upload_body(*co_await this_loop(), std::make_unique<http::StringBody>(found.bytes),
                                   std::move(slot), upload_terms());
  co_return response;
}

}  // namespace

std::unique_ptr<PeerService> make_peer_service(PeerServiceOptions options, PeerServiceParts parts,
                                               MetricsRegistry& metrics) {
  return std::make_unique<Service>(options, std::move(parts), metrics);
}

}  // namespace oxbow::p2p

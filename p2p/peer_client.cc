#include "p2p/peer_client.h"

#include <atomic>
#include <mutex>
#include <unordered_map>

#include "core/encoding.h"
#include "core/log.h"
#include "p2p/peer_calls.h"
#include "p2p/peer_link.h"
#include "p2p/peer_route.h"
#include "p2p/peer_stream.h"
#include "p2p/protocol/stripe_fields.h"

namespace oxbow::p2p {
namespace {

using http::ClientRequest;
using http::Method;
using Whole = Result<http::WholeClientResponse>;

/// Links to peers that have left the cluster are dropped when there are so many of them.
constexpr std::size_t kStaleLinks = 64;
constexpr std::chrono::milliseconds kBusyAnswer{10'000};  ///< while other things come, however short silence may be

Versions versions_of(const Member& member) { return {member.protocol_oldest, member.protocol_newest}; }

struct Reached {
  http::WholeClientResponse response;
  std::optional<std::string> certificate_name;
};

/// On the link's loop: a small exchange, at the address that works. Errors: as http::exchange; kBusy instead of
/// kTimeout where other bytes of the peer have come meanwhile.
Task<Result<Reached>> exchange_with(std::shared_ptr<PeerLink> link, ClientRequest request, http::Patience patience,
                                    std::size_t max_bytes) {
  using std::chrono::milliseconds;
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + patience.at_most;
  Attempts attempts;
  for (;;) {
    const auto connection = link->connection();
    if (!connection) co_return std::unexpected(connection.error());
    attempts.begin((*connection)->connected());
    const auto left = std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    renew_deadline(left, request.headers);
    auto answer = co_await http::exchange(*connection, request,
                                          http::Patience(patience.quiet, std::max(left, milliseconds(1))), max_bytes);
    if (answer) co_return Reached{std::move(*answer), (*connection)->peer_name()};
    if (answer.error().code() == Errc::kTimeout && (*connection)->heard() > begin) {
      co_return fail(Errc::kBusy, answer.error().what());
    }
    if (std::chrono::steady_clock::now() >= end || !attempts.again(*link, *connection, answer.error())) {
      co_return std::unexpected(std::move(answer.error()));
    }
  }
}

/// What no client waits for may be late while the peer sends other things: links full of stripes hold an answer back
/// for seconds, and whoever takes that for silence asks another coordinator, whose leases cost second copies.
http::Patience patient(std::chrono::milliseconds quiet) { return {quiet, std::max(4 * quiet, kBusyAnswer)}; }

class Client final : public PeerClient {
 public:
  Client(PeerClientOptions options, PeerTable& table, Loops& loops, MetricsRegistry& metrics)
      : options_(std::move(options)),
        table_(table),
        loops_(loops),
        received_(counter_family(metrics, "oxbow_peer_bytes_total", "Bytes of stripes moved between peers")
                      .Add({{"direction", "in"}})) {
    have_streams_hits_ = &limit_counter(metrics, "peer_own_have_streams");
    options_.http.waiting_calls_hit = &limit_counter(metrics, "peer_waiting_calls");
    if (!options_.tls) log::warn("peers are spoken to without TLS: anybody on the network can read and change bytes");
  }
  ~Client() override { close(); }

  std::unique_ptr<PeerCall> stripe(PeerId peer, StripeAsk ask, Loop& loop, StripeSink& sink) override;
  std::unique_ptr<PeerCall> watch_have(PeerId peer, Digest digest, std::uint32_t stripes, Loop& loop,
                                       std::function<void(HaveUpdate)> on_update,
                                       std::function<void(Error)> on_end) override;
  Task<Result<std::vector<AnnounceReply>>> announce(PeerId peer, std::vector<Announce> announces,
                                                    std::chrono::milliseconds quiet) override;
  Task<Result<BlobFacts>> facts(PeerId peer, Digest digest, bool with_midstates,
                                std::chrono::milliseconds timeout) override;
  Task<Result<Hello>> hello(PeerId peer, Hello own, std::chrono::milliseconds quiet) override;
  Task<Result<Hello>> hello_at(std::string address, Hello own, std::chrono::milliseconds timeout) override;
  Task<Result<KnownFacts>> known(PeerId peer, KnownAsk ask, std::chrono::milliseconds timeout) override;
  Task<Result<SmallReply>> small(PeerId peer, Digest digest, std::chrono::milliseconds timeout) override;
  Task<Result<PreheatReport>> preheat(PeerId peer, PreheatCall call, std::chrono::milliseconds timeout) override;
  void close() override;

 private:
  struct Known {
    std::shared_ptr<PeerLink> link;
    std::vector<std::string> addresses;
  };

  ClientRequest request(Method method, std::string path) const;
  /// `path` after the prefix of the newest version that the peer speaks too.
  ClientRequest request(PeerId peer, Method method, std::string path) const;
  Loop& next_loop() noexcept { return loops_.at(next_loop_++ % loops_.size()); }
  /// `for_hello`: also to a peer with which this node has no version in common.
  Result<std::shared_ptr<PeerLink>> link_to(PeerId peer, bool for_hello = false);
  void drop_stale(const PeerSnapshot& peers);
  StreamParts parts(PeerId peer, std::shared_ptr<PeerLink> link) {
    return {.link = std::move(link), .peer = peer, .table = table_, .bytes = received_, .chunks = chunks_};
  }
  /// A 200. Errors: as outcome_of, or what kept it from coming.
  Task<Whole> exchange(PeerId peer, ClientRequest request, http::Patience patience, std::size_t max_bytes);
  /// Its body alone.
  Task<Result<std::string>> ask(PeerId peer, ClientRequest request, http::Patience patience, std::size_t max_bytes);

  PeerClientOptions options_;
  PeerTable& table_;
  Loops& loops_;
  Counter& received_;
  Counter* have_streams_hits_ = nullptr;
  const std::shared_ptr<StreamChunks> chunks_ = std::make_shared<StreamChunks>();
  std::atomic<std::size_t> next_loop_ = 0;
  std::mutex mutex_;
  std::unordered_map<std::string, Known> links_;  // by the peer's name
  bool closed_ = false;
};

ClientRequest Client::request(Method method, std::string path) const {
  ClientRequest request{.method = method, .path = std::move(path), .headers = {}, .body = {}};
  if (!options_.tls) request.headers.add(std::string(field::kPeer), options_.own_name);
  return request;
}

ClientRequest Client::request(PeerId peer, Method method, std::string path) const {
  const auto peers = table_.snapshot();
  const auto* found = peers->find(peer);
  // Without one the request is not made: see link_to.
  const auto version = found == nullptr ? std::nullopt : common_version({}, versions_of(found->member));
  return request(method, peer_prefix(version.value_or(kProtocolNewest)) + path);
}

Result<std::shared_ptr<PeerLink>> Client::link_to(PeerId peer, bool for_hello) {
  const auto peers = table_.snapshot();
  const auto* found = peers->find(peer);
  if (found == nullptr) return fail(Errc::kUnavailable, "the peer has left the cluster");
  const auto& member = found->member;
  if (!for_hello && !common_version({}, versions_of(member)))
    return fail(Errc::kUnavailable, "the peer speaks no version of the protocol that this node speaks");
  const std::lock_guard lock(mutex_);
  if (closed_) return fail(Errc::kCancelled, "the peer client is closed");
  auto& known = links_[member.name];
  if (!known.link) {
    known.addresses = member.addresses;
    known.link = std::make_shared<PeerLink>(next_loop(), member.name, member.addresses, options_.tls, options_.http);
    auto link = known.link;
    drop_stale(*peers);
    return link;
  }
  if (known.addresses != member.addresses) {
    known.addresses = member.addresses;
    asio::post(known.link->loop(),
               [link = known.link, addresses = member.addresses] { link->set_addresses(addresses); });
  }
  return known.link;
}

/// Under the lock.
void Client::drop_stale(const PeerSnapshot& peers) {
  if (links_.size() < peers.peers().size() + kStaleLinks) return;
  std::erase_if(links_, [&](const auto& entry) {
    if (peers.find(std::string_view(entry.first)) != nullptr) return false;
    asio::post(entry.second.link->loop(), [link = entry.second.link] { link->close(); });
    return true;
  });
}

void Client::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (auto& [name, known] : links_) asio::post(known.link->loop(), [link = known.link] { link->close(); });
  links_.clear();
}

std::unique_ptr<PeerCall> Client::stripe(PeerId peer, StripeAsk ask, Loop& loop, StripeSink& sink) {
  auto link = link_to(peer);
  if (!link) {
    return open_nothing(loop, [&sink, why = link.error()] { sink.on_done(std::unexpected(why), {}); });
  }
  auto request =
      this->request(peer, Method::kGet, fmt::format("blobs/{}/stripes/{}", ask.digest.to_string(), ask.stripe));
  StripeFields fields{
      .blob_bytes = ask.blob_bytes, .offset = ask.offset, .ranged = ask.offset > 0, .deadline = ask.deadline};
  if (ask.along || !ask.path.empty()) {
    fields.path = ask.path;
    fields.client = ask.client;
    fields.wants = ask.wants;
  }
  add_request_fields(fields, request.headers);
  return open_stripe(parts(peer, std::move(*link)), std::move(request), std::move(ask), loop, sink);
}

std::unique_ptr<PeerCall> Client::watch_have(PeerId peer, Digest digest, std::uint32_t stripes, Loop& loop,
                                             std::function<void(HaveUpdate)> on_update,
                                             std::function<void(Error)> on_end) {
  auto link = link_to(peer);
  if (!link) {
    return open_nothing(loop, [on_end = std::move(on_end), why = link.error()] { on_end(why); });
  }
  auto counted = (*link)->have_streams();
  if (counted.use_count() - 2 >= static_cast<long>(options_.have_streams)) {  // the link's, and this one
    have_streams_hits_->Increment();
    return open_nothing(loop, [on_end = std::move(on_end)] {
      on_end({Errc::kLimit, "too many have streams of this peer are followed"});
    });
  }
  return open_have_stream(parts(peer, std::move(*link)),
                          request(peer, Method::kGet, fmt::format("blobs/{}/have", digest.to_string())), stripes,
                          std::move(counted), loop, std::move(on_update), std::move(on_end));
}

Task<Result<std::string>> Client::ask(PeerId peer, ClientRequest request, http::Patience patience,
                                      std::size_t max_bytes) {
  auto answer = co_await exchange(peer, std::move(request), patience, max_bytes);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  co_return std::move(answer->body);
}

Task<Whole> Client::exchange(PeerId peer, ClientRequest request, http::Patience patience, std::size_t max_bytes) {
  const auto link = link_to(peer, request.path == kHelloPath);
  if (!link) co_return std::unexpected(link.error());
  auto reached = co_await asio::co_spawn((*link)->loop(), exchange_with(*link, std::move(request), patience, max_bytes),
                                         asio::use_awaitable);
  if (!reached) {
    const auto code = reached.error().code();
    if (code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kDenied) {
      table_.note_failure(peer, reached.error());
    }
    co_return std::unexpected(std::move(reached.error()));
  }
  table_.note_contact(peer, load_of(reached->response.headers));
  if (auto outcome = outcome_of(reached->response.status); !outcome) co_return std::unexpected(outcome.error());
  co_return std::move(reached->response);
}

Task<Result<std::vector<AnnounceReply>>> Client::announce(PeerId peer, std::vector<Announce> announces,
                                                          std::chrono::milliseconds quiet) {
  std::vector<AnnounceReply> replies;
  for (std::size_t begin = 0; begin < announces.size(); begin += kMaxAnnounces) {
    const auto end = std::min(begin + kMaxAnnounces, announces.size());
    auto post = request(peer, Method::kPost, "announce");
    post.headers.add("content-type", "application/json");
    post.body = to_json(std::vector(std::make_move_iterator(announces.begin() + static_cast<std::ptrdiff_t>(begin)),
                                    std::make_move_iterator(announces.begin() + static_cast<std::ptrdiff_t>(end))));
    const auto body = co_await ask(peer, std::move(post), patient(quiet), kMaxMessageBytes);
    if (!body) co_return std::unexpected(body.error());
    auto some = parse_announce_replies(*body);
    if (!some) co_return std::unexpected(std::move(some.error()).in("announce"));
    if (some->size() != end - begin) co_return fail(Errc::kInvalid, "announce: not one reply for each");
    std::ranges::move(*some, std::back_inserter(replies));
  }
  co_return replies;
}

Task<Result<BlobFacts>> Client::facts(PeerId peer, Digest digest, bool with_midstates,
                                      std::chrono::milliseconds timeout) {
  const auto path = fmt::format("blobs/{}{}", digest.to_string(), with_midstates ? "?midstates=1" : "");
  const auto body = co_await ask(peer, request(peer, Method::kGet, path), http::Patience(timeout), kMaxMessageBytes);
  if (!body) co_return std::unexpected(body.error());
  co_return parse_blob_facts(*body, digest.algorithm());
}

Task<Result<Hello>> Client::hello(PeerId peer, Hello own, std::chrono::milliseconds quiet) {
  auto post = request(Method::kPost, std::string(kHelloPath));
  post.headers.add("content-type", "application/json");
  post.body = to_json(own);
  const auto body = co_await ask(peer, std::move(post), patient(quiet), kMaxHelloBytes);
  if (!body) co_return std::unexpected(body.error());
  co_return parse_hello(*body);
}

Task<Result<Hello>> Client::hello_at(std::string address, Hello own, std::chrono::milliseconds timeout) {
  auto post = request(Method::kPost, std::string(kHelloPath));
  post.headers.add("content-type", "application/json");
  post.body = to_json(own);
  const bool secure = options_.tls != nullptr;
  const auto link = std::make_shared<PeerLink>(next_loop(), "", std::vector{address}, options_.tls, options_.http);
  const auto reached = co_await asio::co_spawn(
      link->loop(), exchange_with(link, std::move(post), http::Patience(timeout), kMaxHelloBytes), asio::use_awaitable);
  asio::post(link->loop(), [link] { link->close(); });
  if (!reached) co_return std::unexpected(reached.error());
  if (auto outcome = outcome_of(reached->response.status); !outcome) co_return std::unexpected(outcome.error());
  auto hello = parse_hello(reached->response.body);
  if (hello && secure && reached->certificate_name != hello->facts.name) {
    co_return fail(Errc::kDenied, fmt::format("{} says hello as {} with the certificate of {}", address,
                                              hello->facts.name, reached->certificate_name.value_or("nobody")));
  }
  co_return hello;
}

Task<Result<KnownFacts>> Client::known(PeerId peer, KnownAsk ask, std::chrono::milliseconds timeout) {
  const auto path =
      fmt::format("known/{}/{}?reference={}{}", percent_encode(ask.registry), percent_encode(ask.repository),
                  percent_encode(ask.reference), ask.may_ask ? "&ask=1" : "");
  auto get = request(peer, Method::kGet, path);
  set_deadline(timeout, get.headers);
  const auto body = co_await this->ask(peer, std::move(get), http::Patience(timeout), kMaxHelloBytes);
  if (!body) co_return std::unexpected(body.error());
  co_return parse_known_facts(*body);
}

Task<Result<PeerClient::SmallReply>> Client::small(PeerId peer, Digest digest, std::chrono::milliseconds timeout) {
  auto get = request(peer, Method::kGet, fmt::format("small/{}", digest.to_string()));
  set_deadline(timeout, get.headers);
  auto answer = co_await exchange(peer, std::move(get), http::Patience(timeout), kMaxSmallBytes);
  if (!answer) co_return std::unexpected(std::move(answer.error()));
  received_.Increment(static_cast<double>(answer->body.size()));
  SmallReply reply{std::move(answer->body), std::string(answer->headers.find("content-type").value_or(""))};
  if (reply.media_type == "application/octet-stream") reply.media_type.clear();
  co_return reply;
}

Task<Result<PreheatReport>> Client::preheat(PeerId peer, PreheatCall call, std::chrono::milliseconds timeout) {
  const bool starts = call.what == PreheatCall::What::kStart;
  auto request = this->request(peer,
                               starts                                    ? Method::kPost
                               : call.what == PreheatCall::What::kReport ? Method::kGet
                                                                         : Method::kDelete,
                               starts ? "preheat" : "preheat/" + call.ask.id);
  if (starts) {
    request.headers.add("content-type", "application/json");
    request.body = to_json(call.ask);
  }
  const auto body = co_await ask(peer, std::move(request), http::Patience(timeout), kMaxPreheatBytes);
  if (!body) co_return std::unexpected(body.error());
  auto report = parse_preheat_report(*body);
  if (report && report->id != call.ask.id) co_return fail(Errc::kInvalid, "the peer answers about another preheat");
  co_return report;
}

}  // namespace

std::unique_ptr<PeerClient> make_peer_client(PeerClientOptions options, PeerTable& table, Loops& loops,
                                             MetricsRegistry& metrics) {
  return std::make_unique<Client>(std::move(options), table, loops, metrics);
}

}  // namespace oxbow::p2p

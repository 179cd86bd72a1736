#include "mirror/ring_node.h"

#include <fmt/ranges.h>
#include <unistd.h>

#include <boost/asio/redirect_error.hpp>
#include <map>
#include <random>
#include <set>

#include "core/http/server.h"
#include "core/log.h"
#include "core/tls/certificate.h"
#include "core/tls/safe_files.h"
#include "mirror/announcer.h"
#include "mirror/peer_contents.h"
#include "mirror/ring_options.h"
#include "mirror/settings_compare.h"
#include "p2p/coordinator.h"
#include "p2p/peer_service.h"
#include "p2p/prober.h"
#include "p2p/span_rank.h"

namespace oxbow::mirror {
namespace {

constexpr std::chrono::milliseconds kTick{500};

/// Of a connection between two nodes, at either end.
constexpr std::uint32_t kPeerStreams = 1'024;
/// Of announces that are still arriving on one connection: two of the largest and some hellos.
constexpr std::size_t kPeerBodiesBytes = 32UL * 1024 * 1024;
/// A peer that takes no byte for this long gives its upload slots back. The slowest that is well, a node at 10 Mbit/s
/// with fifteen senders, lets a stream stand still for one to three seconds.
constexpr std::chrono::milliseconds kPeerSendTimeout{10'000};

/// Peers know each other by the certificate: one with another name than this node's would be refused by all of them.
Result<> check_certificate(const std::string& file, const std::string& name) {
  constexpr std::size_t kLimitBytes = 1UL << 20;
  const auto pem = tls::read_file(file, kLimitBytes);
  if (!pem) return std::unexpected(pem.error());
  const auto certificates = tls::parse_certificates(*pem);
  if (!certificates) return std::unexpected(certificates.error().in(file));
  const auto names = tls::dns_names_of(*certificates->front());
  if (!names.empty() && names.front() == name) return {};
  return fail(Errc::kInvalid,
              fmt::format("{} is the certificate of {}, and this node is {}: set peer.name, or issue one "
                          "with `oxbow ca issue DIR {}`",
                          file, names.empty() ? "nobody" : names.front(), name, name));
}

/// Of who may be selected now, in whatever order.
std::uint64_t eligible_fingerprint(const p2p::PeerSnapshot& snapshot) {
  std::uint64_t sum = 0;
  for (const auto& peer : snapshot.peers()) {
    if (peer.state == p2p::PeerState::kEligible) sum += p2p::key_of(peer.member.name);
  }
  return sum;
}

class Node final : public RingNode {
 public:
  Node(const config::Config& config, Parts parts)
      : parts_(std::move(parts)),
        own_strategy_(strategy_kind(config.routing.strategy)),
        own_replicas_(config.routing.replicas),
        strategy_(own_strategy_),
        replicas_(own_replicas_),
        self_(self_member(config)),
        incarnation_(std::random_device{}() | std::uint64_t{std::random_device{}()} << 32U),
        table_(self_, {}, parts_.clock, parts_.metrics),
        coordinator_({}, incarnation_, now()),
        coordinator_blobs_hits_(limit_counter(parts_.metrics, "coordinator_blobs")),
        coordinator_memory_hits_(limit_counter(parts_.metrics, "coordinator_memory")),
        finger_owner_({}, &limit_counter(parts_.metrics, "finger_leases")),
        contents_(parts_.blobs, self_.name),
        timer_(parts_.loops.at(0)) {}

  /// The store may outlive it, and evict.
  ~Node() override { parts_.blobs.store().set_span_rank({}); }
  Result<> open(const config::Config& config);

  void set_knowledge(OwnKnowledge& knowledge) override { contents_.set_knowledge(&knowledge); }
  void set_preheats(p2p::PeerPreheats& preheats) override { preheats_ = &preheats; }
  const std::string& name() const noexcept override { return self_.name; }
  Result<> start() override;
  void leave() override;
  void drain(std::chrono::milliseconds timeout) override;
  void close() override;
  std::vector<std::string> addresses() const override { return server_->addresses(); }
  PeersView view() const override {
    return {std::string(p2p::to_string(strategy_)),
            replicas_,
            std::string(membership_->provider()),
            membership_->trouble(),
            table_.unnamed(),
            table_.snapshot()};
  }

  std::unique_ptr<p2p::Strategy> make_strategy(p2p::StrategyContext context) override {
    context.seed = incarnation_ ^ p2p::key_of(context.digest);
    context.replicas = replicas_;
    return p2p::make_strategy(strategy_, std::move(context));
  }
  std::shared_ptr<const p2p::PeerSnapshot> snapshot() const override { return table_.snapshot(); }
  std::uint32_t replicas() const override { return replicas_; }
  std::unique_ptr<storage::Subscription> on_change(std::function<void()> changed) override;
  Task<Result<p2p::AnnounceReply>> announce(p2p::PeerId peer, p2p::Announce announce,
                                            std::chrono::milliseconds quiet) override;
  p2p::PeerClient& client() override { return *client_; }
  p2p::FingerOwner* finger_owner() override { return &finger_owner_; }
  void served_well(p2p::PeerId peer, double first_byte_ms, double bytes_per_second) override {
    table_.note_stripe(peer, first_byte_ms, bytes_per_second);
  }
  void sent_bad(p2p::PeerId peer, std::string_view why) override { suspend(peer, why); }
  void published_bad(std::string_view publisher, std::string_view why) override;
  void holds(const Digest& digest) override { announcer_->holds(digest); }

 private:
  /// Who wants to hear of changes of the table. Outlives the node: subscriptions may be let go later.
  struct Listeners {
    std::mutex mutex;
    std::uint64_t next = 1;
    std::map<std::uint64_t, std::function<void()>> all;
  };
  class Listening;

  p2p::Time now() const { return std::chrono::duration_cast<p2p::Time>(parts_.clock.steady().time_since_epoch()); }
  p2p::AnnounceReply coordinate(p2p::PeerId from, const p2p::Announce& announce) {
    auto reply = [&] {
      const std::lock_guard lock(coordinator_mutex_);
      // Taken under the lock: one from before a suspension would bring back what forget_publisher has dropped.
      const auto snapshot = table_.snapshot();
      return coordinator_.on_announce(now(), from, announce, *snapshot);
    }();
    if ((!reply.lost.empty() || !reply.granted.empty()) && log::enabled(log::Level::kDebug)) log_leases(from, reply);
    return reply;
  }
  static void log_leases(p2p::PeerId to, const p2p::AnnounceReply& reply) {
    std::vector<std::uint32_t> granted;
    for (const auto& grant : reply.granted) granted.push_back(grant.span);
    log::debug("leases", {{"digest", reply.digest.to_string()},
                          {"peer", to},
                          {"granted", fmt::to_string(fmt::join(granted, ","))},
                          {"lost", fmt::to_string(fmt::join(reply.lost, ","))}});
  }
  p2p::Hello hello() const;
  std::vector<std::string> alternatives(const Digest& digest, std::uint32_t stripe) const;
  void suspend(p2p::PeerId peer, std::string_view why);
  Task<bool> send(p2p::PeerId peer, std::vector<p2p::Announce> announces);
  Task<> tick(std::shared_ptr<const std::atomic<bool>> running);
  void ring_changed(const p2p::PeerSnapshot& snapshot);
  void compare_settings(const p2p::Hello& other);
  double span_rank(const Digest& digest, std::uint32_t span) const;
  void revoke(std::vector<std::string> names);
  void take_settings(const std::optional<p2p::ClusterValue>& value);
  void leave_settings();
  bool is_revoked(std::string_view entry) const;

  Parts parts_;
  const p2p::StrategyKind own_strategy_;  ///< by its file: where the cluster has no settings
  const std::uint32_t own_replicas_;
  std::atomic<p2p::StrategyKind> strategy_;
  std::atomic<std::uint32_t> replicas_;
  std::atomic<std::uint64_t> settings_epoch_ = 0;
  std::atomic<bool> has_settings_ = false;  ///< of the cluster
  SettingsCompare settings_compare_;        ///< on the prober's loop
  const p2p::Member self_;
  const std::uint64_t incarnation_;
  std::atomic<bool> draining_ = false;
  p2p::PeerTable table_;
  std::mutex coordinator_mutex_;
  p2p::Coordinator coordinator_;
  p2p::CoordinatorForgotten forgotten_;  ///< as told to the metrics
  Counter& coordinator_blobs_hits_;
  Counter& coordinator_memory_hits_;
  p2p::FingerOwner finger_owner_;
  PeerContents contents_;
  p2p::PeerPreheats* preheats_ = nullptr;
  std::unique_ptr<p2p::PeerClient> client_;
  std::unique_ptr<p2p::PeerService> service_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<p2p::Membership> membership_;
  std::unique_ptr<p2p::Prober> prober_;
  mutable std::mutex revoked_mutex_;
  std::set<std::string> revoked_entries_;  ///< names, and `serial:…`
  std::unique_ptr<RevokedList> revoked_;
  std::unique_ptr<p2p::ClusterValues> values_;  ///< ends before what its watches tell: `revoked_` too
  std::shared_ptr<Announcer> announcer_;
  asio::steady_timer timer_;
  std::shared_ptr<std::atomic<bool>> ticking_;
  std::shared_ptr<Listeners> listeners_ = std::make_shared<Listeners>();
  std::atomic<std::uint64_t> ring_fingerprint_ = 0;
  std::atomic<std::uint64_t> eligible_fingerprint_ = 0;
};

class Node::Listening final : public storage::Subscription {
 public:
  Listening(std::shared_ptr<Listeners> listeners, std::function<void()> changed) : listeners_(std::move(listeners)) {
    const std::lock_guard lock(listeners_->mutex);
    id_ = listeners_->next++;
    listeners_->all.emplace(id_, std::move(changed));
  }
  ~Listening() override {
    const std::lock_guard lock(listeners_->mutex);
    listeners_->all.erase(id_);
  }

 private:
  std::shared_ptr<Listeners> listeners_;
  std::uint64_t id_ = 0;
};

std::unique_ptr<storage::Subscription> Node::on_change(std::function<void()> changed) {
  return std::make_unique<Listening>(listeners_, std::move(changed));
}

Result<> Node::open(const config::Config& config) {
  values_ = make_cluster_values(config);
  revoked_ = std::make_unique<RevokedList>(config, values_.get(),
                                           [this](std::vector<std::string> names) { revoke(std::move(names)); });
  if (auto loaded = revoked_->load(); !loaded)
    return std::unexpected(std::move(loaded.error()).in("peer.revoked_file"));
  p2p::PeerClientOptions client_options{.own_name = self_.name, .tls = nullptr, .http = {}};
  http::ServerConfig server{"peers", {config.peer.listen}, std::nullopt, {}, true};
  server.limits.request_body_bytes = p2p::kMaxMessageBytes;
  server.limits.h2_bodies_bytes = kPeerBodiesBytes;
  // A connection stands for a whole node, and hedges and readers that leave reset streams all the time.
  server.limits.h2_streams = kPeerStreams;
  client_options.http.streams = kPeerStreams;
  server.limits.h2_resets_per_second = 10'000;
  server.limits.send_timeout = kPeerSendTimeout;
  if (config.peer.tls.insecure) {
    log::warn("peers are spoken to without TLS: whoever reaches the port is one", {{"address", config.peer.listen}});
  } else {
    if (auto named = check_certificate(config.peer.tls.certificate, self_.name); !named)
      return std::unexpected(std::move(named.error()).in("peer.tls.certificate"));
    auto tls =
        http::make_client_tls({config.peer.tls.ca, config.peer.tls.certificate, config.peer.tls.key,
                               [this](const std::string& serial) { return is_revoked(tls::serial_entry(serial)); }});
    if (!tls) return std::unexpected(std::move(tls.error()).in("peer.tls"));
    client_options.tls = std::move(*tls);
    server.tls = http::TlsConfig{config.peer.tls.certificate, config.peer.tls.key, config.peer.tls.ca};
  }
  client_ = p2p::make_peer_client(std::move(client_options), table_, parts_.loops, parts_.metrics);

  p2p::PeerServiceOptions options;
  options.insecure = config.peer.tls.insecure;
  options.upload_slots = config.limits.peer_upload_slots;
  options.upload_bandwidth = config.limits.peer_upload_bandwidth;
  service_ = p2p::make_peer_service(
      options,
      {.table = table_,
       .content = contents_,
       .announce = [this](p2p::PeerId from, const p2p::Announce& announce) { return coordinate(from, announce); },
       .hello = [this] { return hello(); },
       .on_hello = [this](const p2p::Hello& hello,
                          const std::string&) { table_.note_claim(hello.advertise, hello.facts); },
       .alternatives = [this](const Digest& digest, std::uint32_t stripe) { return alternatives(digest, stripe); },
       .clock = parts_.clock,
       .revoked = [this](std::string_view entry) { return is_revoked(entry); },
       .preheats = [this] { return preheats_; }},
      parts_.metrics);
  auto made = http::Server::create(std::move(server), parts_.loops, *service_, parts_.metrics);
  if (!made) return std::unexpected(std::move(made.error()).in("peer.listen"));
  server_ = std::move(*made);

  // What no node can keep whole is kept by span across the cluster: each keeps what it comes first for on the ring.
  parts_.blobs.store().set_span_rank(
      [this](const Digest& digest, std::uint32_t span) { return span_rank(digest, span); });
  auto membership = make_membership(config, self_, parts_.metrics);
  if (!membership) return std::unexpected(std::move(membership.error()).in("membership"));
  membership_ = std::move(*membership);
  announcer_ = std::make_shared<Announcer>(
      Announcer::Options{}, parts_.blobs, table_, parts_.loops.at(0),
      [this](p2p::PeerId peer, std::vector<p2p::Announce> announces) { return send(peer, std::move(announces)); },
      self_.name);
  prober_ = std::make_unique<p2p::Prober>(
      p2p::ProberOptions{}, table_, *client_, [this] { return hello(); }, parts_.loops.at(0), parts_.metrics,
      incarnation_);
  prober_->on_new_incarnation([this](p2p::PeerId peer) {
    const auto peers = table_.snapshot();
    if (const auto* restarted = peers->find(peer)) announcer_->restarted(restarted->member.name);
  });
  prober_->on_hello([this](p2p::PeerId, const p2p::Hello& other) { compare_settings(other); });
  return {};
}

Result<> Node::start() {
  table_.on_change([this](const std::shared_ptr<const p2p::PeerSnapshot>& snapshot) { ring_changed(*snapshot); });
  server_->start();
  if (auto started = membership_->start([this](p2p::MembershipView view) {
        table_.set_members(std::move(view.members));
        prober_->wake();
      });
      !started) {
    return std::unexpected(std::move(started.error()).in("membership"));
  }
  revoked_->start();
  if (values_) values_->watch(std::string(p2p::kSettingsKey), [this](const auto& value) { take_settings(value); });
  prober_->start();
  announcer_->start();
  ticking_ = std::make_shared<std::atomic<bool>>(true);
  asio::co_spawn(parts_.loops.at(0), tick(ticking_), asio::detached);
  log::info("member of a ring", {{"name", self_.name},
                                 {"membership", membership_->provider()},
                                 {"strategy", p2p::to_string(strategy_)},
                                 {"replicas", replicas_.load()}});
  return {};
}

/// Without a place that all agree on, at least say when two do not; with one, who does not follow it.
void Node::compare_settings(const p2p::Hello& other) {
  const OwnSettings own{std::string(p2p::to_string(strategy_)), replicas_, settings_epoch_};
  const auto found = settings_compare_.take(own, other, parts_.clock.steady());
  if (!found) return;
  const auto* text = "a peer has other settings than this node; both work, and they should be the same";
  if (*found == SettingsDifference::kEpochs)
    text = "a peer has the cluster's settings of another epoch; see what its log says of membership and settings";
  if (*found == SettingsDifference::kNoEpoch)
    text =
        "one of a peer and this node does not have the cluster's settings; see that both have the same "
        "membership, and what the log of the one without an epoch says of it";
  log::warn(text, {{"peer", other.facts.name},
                   {"its_strategy", other.strategy},
                   {"own_strategy", own.strategy},
                   {"its_replicas", other.replicas},
                   {"own_replicas", own.replicas},
                   {"its_epoch", other.settings_epoch},
                   {"own_epoch", own.epoch}});
}

void Node::ring_changed(const p2p::PeerSnapshot& snapshot) {
  // Only who is in the ring, and with what weight, decides what is whose; health changes all the time.
  const auto fingerprint = snapshot.ring().fingerprint();
  if (ring_fingerprint_.exchange(fingerprint) != fingerprint) {
    prober_->wake();
    log::info("members changed", {{"members", snapshot.peers().size()}, {"eligible", snapshot.eligible_others()}});
    announcer_->ring_changed();
  }
  // Who was out of reach for a while and is back coordinates again, and was not told what has come meanwhile.
  const auto eligible = eligible_fingerprint(snapshot);
  if (eligible_fingerprint_.exchange(eligible) != eligible) announcer_->eligible_changed();
  const std::lock_guard lock(listeners_->mutex);
  for (const auto& [id, changed] : listeners_->all) changed();
}

Task<> Node::tick(std::shared_ptr<const std::atomic<bool>> running) {
  while (*running) {
    timer_.expires_after(kTick);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    if (!*running) co_return;
    table_.tick();
    const auto snapshot = table_.snapshot();
    const std::lock_guard lock(coordinator_mutex_);
    coordinator_.tick(now(), *snapshot);
    const auto forgotten = coordinator_.forgotten();
    coordinator_blobs_hits_.Increment(static_cast<double>(forgotten.for_blobs - forgotten_.for_blobs));
    coordinator_memory_hits_.Increment(static_cast<double>(forgotten.for_memory - forgotten_.for_memory));
    forgotten_ = forgotten;
  }
}

p2p::Hello Node::hello() const {
  p2p::Hello hello;
  const auto snapshot = table_.snapshot();
  // With a location and a weight from membership where the configuration has none. What membership may say of weights
  // is more than a hello may, and the ring knows no difference below.
  const auto* self = snapshot->find(snapshot->self());
  const auto weight = std::max(self->member.weight, p2p::Ring::kWeightMin);
  hello.facts = {self_.name,           self->member.location, weight,          p2p::kProtocolOldest,
                 p2p::kProtocolNewest, incarnation_,          draining_.load()};
  hello.version = parts_.version;
  hello.strategy = p2p::to_string(strategy_);
  hello.replicas = replicas_;
  hello.settings_epoch = settings_epoch_;
  hello.advertise = self_.addresses.front();
  return hello;
}

Task<Result<p2p::AnnounceReply>> Node::announce(p2p::PeerId peer, p2p::Announce announce,
                                                std::chrono::milliseconds quiet) {
  if (peer == table_.snapshot()->self()) co_return coordinate(peer, announce);
  const auto digest = announce.digest;
  std::vector<p2p::Announce> one;
  one.push_back(std::move(announce));
  auto replies = co_await client_->announce(peer, std::move(one), quiet);
  if (!replies) {
    log::debug("a coordinator does not answer",
               {{"digest", digest.to_string()}, {"peer", peer}, log::Field(replies.error())});
    co_return std::unexpected(std::move(replies.error()));
  }
  if (replies->size() != 1 || replies->front().digest != digest)
    co_return fail(Errc::kInvalid, "the coordinator answered for another blob");
  co_return std::move(replies->front());
}

/// Settings that the cluster shares win over this node's file, for what is fetched from now on. Which strategy a peer
/// uses is its own business, so nodes of two epochs work together while a change rolls.
void Node::take_settings(const std::optional<p2p::ClusterValue>& value) {
  if (!value) return leave_settings();
  const auto settings = p2p::parse_settings(value->value);
  const auto strategy = settings ? strategy_named(settings->strategy) : std::nullopt;
  if (!strategy) {
    log::warn("the cluster's settings cannot be used; keeping the last",
              {{"error", settings ? "no such strategy: " + settings->strategy : settings.error().what()}});
    return;
  }
  if (settings->epoch < settings_epoch_) {
    log::warn("the cluster's settings are of an older epoch than this node's; keeping the last",
              {{"epoch", settings->epoch}, {"own_epoch", settings_epoch_.load()}});
    return;
  }
  settings_epoch_ = settings->epoch;
  has_settings_ = true;
  strategy_ = *strategy;
  replicas_ = settings->replicas;
  log::info("settings of the cluster",
            {{"epoch", settings->epoch}, {"strategy", settings->strategy}, {"replicas", settings->replicas}});
}

/// They were removed, or their store has lost them: each node goes by its own file, and by whatever epoch comes next.
void Node::leave_settings() {
  if (!has_settings_.exchange(false)) return;
  settings_epoch_ = 0;
  strategy_ = own_strategy_;
  replicas_ = own_replicas_;
  log::warn("the cluster has no settings any more; going by this node's own",
            {{"strategy", p2p::to_string(own_strategy_)}, {"replicas", own_replicas_}});
}

double Node::span_rank(const Digest& digest, std::uint32_t span) const {
  const auto snapshot = table_.snapshot();
  const auto* self = snapshot->find(snapshot->self());
  if (self == nullptr) return 0;
  const auto index = static_cast<std::uint32_t>(self - snapshot->peers().data());
  return p2p::span_rank(snapshot->ring(), index, p2p::key_of(digest, span), p2p::key_of(self_.name));
}

void Node::revoke(std::vector<std::string> names) {
  {
    const std::lock_guard lock(revoked_mutex_);
    revoked_entries_ = {names.begin(), names.end()};
  }
  table_.set_revoked(std::move(names));
}

bool Node::is_revoked(std::string_view entry) const {
  const std::lock_guard lock(revoked_mutex_);
  return revoked_entries_.contains(std::string(entry));
}

std::vector<std::string> Node::alternatives(const Digest& digest, std::uint32_t stripe) const {
  std::vector<std::string> names;
  const auto fetch = parts_.blobs.running(digest);
  if (!fetch) return names;
  const auto snapshot = table_.snapshot();
  for (const auto peer : fetch->holders(stripe)) {
    const auto* known = snapshot->find(peer);
    if (known != nullptr && known->state == p2p::PeerState::kEligible) names.push_back(known->member.name);
  }
  return names;
}

Task<bool> Node::send(p2p::PeerId peer, std::vector<p2p::Announce> announces) {
  if (peer == table_.snapshot()->self()) {
    for (const auto& announce : announces) coordinate(peer, announce);
    co_return true;
  }
  const auto replies = co_await client_->announce(peer, std::move(announces), std::chrono::seconds(5));
  co_return replies.has_value();
}

void Node::suspend(p2p::PeerId peer, std::string_view why) {
  const auto snapshot = table_.snapshot();
  const auto* known = snapshot->find(peer);
  if (known == nullptr || known->self) return;
  log::error("a peer is suspended", {{"peer", known->member.name}, {"why", why}});
  const auto name = known->member.name;
  table_.suspend(peer, why);
  const std::lock_guard lock(coordinator_mutex_);
  coordinator_.forget_publisher(name);
}

void Node::published_bad(std::string_view publisher, std::string_view why) {
  if (const auto* known = table_.snapshot()->find(publisher)) suspend(known->id, why);
}

void Node::leave() {
  if (!draining_.exchange(true)) prober_->tell();
}

void Node::drain(std::chrono::milliseconds timeout) {
  leave();
  service_->drain();  // have streams have no end of their own
  server_->drain(timeout);
  // Not before: peers answer members only, and clients pull through this node until here.
  membership_->stop();
}

void Node::close() {
  if (ticking_) *ticking_ = false;
  asio::post(parts_.loops.at(0), [this] { timer_.cancel(); });
  membership_->stop();
  values_.reset();
  revoked_->stop();
  prober_->stop();
  announcer_->stop();
  client_->close();
}

}  // namespace

Result<std::unique_ptr<RingNode>> RingNode::create(const config::Config& config, Parts parts) {
  auto node = std::make_unique<Node>(config, std::move(parts));
  if (auto opened = node->open(config); !opened) return std::unexpected(std::move(opened.error()));
  return node;
}

}  // namespace oxbow::mirror

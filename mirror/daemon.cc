#include "mirror/daemon.h"

#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "config/loader.h"
#include "core/http/listener.h"
#include "core/http/server.h"
#include "core/log.h"
#include "core/sd_notify.h"
#include "mirror/admin/admin_servers.h"
#include "mirror/admin/cache_routes.h"
#include "mirror/admin/errors_routes.h"
#include "mirror/admin/preheat_routes.h"
#include "mirror/admin/pulls_routes.h"
#include "mirror/admin/status_routes.h"
#include "mirror/page/page_routes.h"
#include "mirror/preheat_queue.h"
#include "mirror/preheats.h"
#include "mirror/registry_service.h"
#include "mirror/ring_node.h"
#include "mirror/ring_options.h"

namespace oxbow::mirror {
namespace {

/// Loops, pool and metrics: what all other parts stand on.
struct Ground {
  SystemClock clock;
  MetricsRegistry metrics;
  Loops loops{std::max(1U, std::thread::hardware_concurrency())};
  WorkPool pool{std::max(4U, 2 * std::thread::hardware_concurrency())};
};

storage::Config storage_config(const config::Storage& from) {
  storage::Config to;
  to.directory = from.directory;
  if (from.budget.is_percent)
    to.budget_percent = from.budget.percent;
  else
    to.budget_bytes = from.budget.bytes;
  if (from.free_space_floor.is_percent)
    to.floor_percent = from.free_space_floor.percent;
  else
    to.floor_bytes = from.free_space_floor.bytes;
  switch (from.io_engine) {
    case config::IoEngine::kAuto:
      to.io_engine = storage::IoEngineKind::kAuto;
      break;
    case config::IoEngine::kUring:
      to.io_engine = storage::IoEngineKind::kUring;
      break;
    case config::IoEngine::kThreads:
      to.io_engine = storage::IoEngineKind::kThreads;
      break;
  }
  to.scrub_bytes_per_second = from.scrub_bandwidth;
  to.scrub_interval = from.scrub_interval;
  to.write_arena_bytes = from.write_arena;
  return to;
}

http::ServerLimits server_limits(const config::Limits& from) {
  http::ServerLimits to;
  to.connections = from.connections;
  to.header_bytes = from.header_bytes;
  to.request_body_bytes = from.request_body_bytes;
  to.h2_streams = from.h2_streams;
  to.h2_resets_per_second = from.h2_resets_per_second;
  to.header_timeout = from.header_timeout;
  to.idle_timeout = from.idle_timeout;
  to.send_timeout = from.send_timeout;
  return to;
}

/// One socket a client and one file a reader: the soft limit of many systems, 1024, is no limit of ours.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) log::debug("the limit of open files cannot be raised");
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

/// For peers, where clients have taken all of `client.drain_timeout`: their stripes had that time too.
constexpr std::chrono::milliseconds kLeastPeerDrain{200};

/// What systemd listens on for this service must be served.
Result<> check_handed_over(const config::Config& config) {
  auto named = config.client.listen;
  for (const auto& address : {config.admin.listen, config.peer.listen}) {
    if (!address.empty()) named.push_back(address);
  }
  if (!config.admin.socket.empty()) named.push_back("unix:" + config.admin.socket);
  return http::check_inherited(named);
}

void log_addresses(const http::Server& server) {
  for (const auto& address : server.addresses()) log::info("listening", {{"for", "clients"}, {"address", address}});
}

void reload(const DaemonOptions& options, const upstream::Services& services, RegistryService& service) {
  const auto loaded = options.reload();
  if (!loaded) {
    log::error("the configuration has errors; going on with the old one", {log::Field(loaded.error())});
    return;
  }
  std::vector<std::string> needs_restart;
  config::can_reload(options.config, *loaded, needs_restart);
  for (const auto& key : needs_restart) log::warn("this option changes only with a restart", {{"option", key}});
  auto registries = Registries::create(*loaded, services);
  if (!registries) {
    log::error("the registries cannot be reloaded", {log::Field(registries.error())});
    return;
  }
  service.set_registries(std::move(*registries));
  log::set_level(to_log_level(loaded->log.level));
  log::info("configuration reloaded", {{"registries", loaded->registries.size()}});
}

/// The nodes that a preheat can go to: the ring's, or this one alone.
Preheats::Parts preheat_parts(const config::Config& config, Ground& ground, PreheatQueue& own, RingNode* ring) {
  Preheats::Parts parts{ground.loops, ground.clock, ground.metrics, {}, own, {}, {}};
  if (ring != nullptr) {
    parts.own_name = ring->name();
    parts.peers = [ring] { return ring->snapshot(); };
    parts.ask = [ring](p2p::PeerId peer, p2p::PeerClient::PreheatCall call, std::chrono::milliseconds timeout) {
      return ring->client().preheat(peer, std::move(call), timeout);
    };
    return parts;
  }
  p2p::Peer self;
  self.id = 1;
  self.self = true;
  self.member = self_member(config);
  parts.own_name = self.member.name;
  parts.peers = [alone = std::make_shared<const p2p::PeerSnapshot>(std::vector{self}, 1)] { return alone; };
  return parts;
}

/// Blocks until the daemon is to end; keeps systemd's watchdog fed.
int wait_for_signal(const sigset_t& signals) {
  for (;;) {
    const timespec tick{5, 0};
    const int signal = sigtimedwait(&signals, nullptr, &tick);
    if (signal > 0) return signal;
    sd_notify("WATCHDOG=1");
  }
}

}  // namespace

log::Level to_log_level(config::LogLevel level) noexcept {
  switch (level) {
    case config::LogLevel::kDebug:
      return log::Level::kDebug;
    case config::LogLevel::kInfo:
      return log::Level::kInfo;
    case config::LogLevel::kWarn:
      return log::Level::kWarn;
    case config::LogLevel::kError:
      return log::Level::kError;
  }
  std::abort();
}

Result<> run_daemon(DaemonOptions options) {
  // Before any thread exists, so that all inherit the mask and only main receives these.
  const auto signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  raise_file_limit();

  const auto& config = options.config;
  if (auto served = check_handed_over(config); !served) return std::unexpected(std::move(served.error()));
  Ground ground;
  const ErrorJournal errors(ground.clock);
  gauge_family(ground.metrics, "oxbow_build_info", "1, with the version as a label")
      .Add({{"version", options.version}})
      .Set(1);

  auto store = storage::Store::open(storage_config(config.storage), ground.clock, ground.metrics);
  if (!store) return std::unexpected(std::move(store.error()).in("storage"));

  CurlLoops curls(ground.loops);
  const upstream::Services services{ground.clock, ground.pool, ground.metrics, options.version};
  auto registries = Registries::create(config, services);
  if (!registries) return std::unexpected(std::move(registries.error()));

  FetchLimits fetch_limits;
  fetch_limits.window_memory = config.limits.memory;
  Blobs blobs(**store, ground.pool, ground.clock, ground.metrics, fetch_limits);
  std::unique_ptr<RingNode> ring;
  if (config::has_peers(config)) {
    auto made =
        RingNode::create(config, {ground.loops, ground.pool, ground.clock, ground.metrics, blobs, options.version});
    if (!made) return std::unexpected(std::move(made.error()));
    ring = std::move(*made);
    blobs.set_peers(ring.get());
  }
  Grants grants(**store, ground.clock, ground.metrics);
  grants.load();
  DigestMemory memory(**store);
  std::optional<PeerKnowledge> peers;
  if (ring) {
    peers.emplace(PeerKnowledge::Options{}, *ring, ground.metrics);
  }
  Access access(grants, memory, curls, peers ? &*peers : nullptr);
  SmallContents contents(**store, access, ground.metrics);
  Tags tags(**store, access, contents, ground.clock, ground.metrics);
  RegistryService service({blobs, access, contents, tags, curls, ground.metrics}, std::move(*registries),
                          config.limits.ranges);
  OwnKnowledge knowledge({**store, access, contents, tags, [&service] { return service.registries(); }});
  if (ring) ring->set_knowledge(knowledge);
  PreheatQueue preheat_queue({}, {blobs, access, contents, curls, [&service] { return service.registries(); }},
                             ground.loops, ground.metrics);
  if (ring) ring->set_preheats(preheat_queue);
  Preheats preheats({}, preheat_parts(config, ground, preheat_queue, ring.get()));
  std::atomic<bool> ready = false;
  ApiRoutes routes(ground.pool);
  ScrubJob scrub(**store, ground.pool, ground.clock);
  const auto self = self_member(config);
  const ViewPeers view_peers = [&ring]() { return ring ? std::optional(ring->view()) : std::nullopt; };
  add_status_routes(
      routes, {**store, ground.metrics, ground.clock, ready, options.version, self.name, self.location, view_peers,
               [&blobs] { return blobs.running_count(); }, [&service] { return service.registries(); }});
  add_peers_routes(routes, self.name, view_peers);
  add_cache_routes(routes, {blobs, memory, scrub});
  add_errors_routes(routes, errors);
  add_preheat_routes(routes, {preheats, tags, [&service] { return service.registries(); }});
  add_pulls_routes(routes, blobs.journal());
  add_page_routes(routes);

  http::ServerConfig client_server{"client", config.client.listen, std::nullopt, server_limits(config.limits), false};
  if (!config.client.tls.certificate.empty()) {
    client_server.tls = http::TlsConfig{config.client.tls.certificate, config.client.tls.key, config.client.tls.ca};
  }
  auto server = http::Server::create(std::move(client_server), ground.loops, service, ground.metrics);
  if (!server) return std::unexpected(std::move(server.error()).in("client.listen"));
  auto admin = AdminServers::create(config.admin, server_limits(config.limits),
                                    {ground.loops, ground.pool, ground.metrics, routes, ready});
  if (!admin) return std::unexpected(std::move(admin.error()));

  if (ring) {
    if (auto started = ring->start(); !started) return std::unexpected(std::move(started.error()));
    for (const auto& address : ring->addresses()) log::info("listening", {{"for", "peers"}, {"address", address}});
  }
  ground.loops.start();
  (*server)->start();
  log_addresses(**server);
  admin->start();
  ready = true;
  sd_notify("READY=1");
  log::info("ready", {{"version", options.version}, {"registries", config.registries.size()}});

  for (int signal = wait_for_signal(signals); signal == SIGHUP; signal = wait_for_signal(signals)) {
    sd_notify("RELOADING=1");
    reload(options, services, service);
    sd_notify("READY=1");
  }

  log::info("stopping", {{"connections", (*server)->connections()}});
  sd_notify("STOPPING=1");
  ready = false;
  preheats.close();
  preheat_queue.close();
  const auto drained_by = std::chrono::steady_clock::now() + config.client.drain_timeout;
  if (ring) ring->leave();  // stays a member: clients pull through it until they are gone
  (*server)->drain(config.client.drain_timeout);
  if (ring) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(drained_by - std::chrono::steady_clock::now());
    ring->drain(std::max(left, kLeastPeerDrain));
    ring->close();
  }
  admin->drain(std::chrono::milliseconds(500));
  scrub.stop();
  // In reverse: exchanges with upstream, then what runs on the pool, then the loops, then the disk.
  for (std::size_t i = 0; i < ground.loops.size(); ++i) {
    asio::post(ground.loops.at(i), [&curl = curls.at(ground.loops.at(i))] { curl.close(); });
  }
  ground.pool.join();
  ground.loops.finish(std::chrono::seconds(2));
  (*store)->close();
  log::info("stopped");
  return {};
}

}  // namespace oxbow::mirror

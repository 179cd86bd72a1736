#include "config/schema.h"

#include "config/schema_builder.h"

namespace oxbow::config {
namespace {

// The field of an option, for const and non-const owners alike.
#define OXBOW_FIELD(member) ([](auto& owner) -> auto& { return owner.member; })

constexpr std::uint64_t kMiB = 1ULL << 20;
constexpr double kMinute = 60'000;
constexpr double kDay = 86'400'000;

using Options = std::vector<Option<Config>>;

template <typename Field>
void add(Options& out, std::string key, Field field, const FieldType<Config, Field>& default_value, std::string help,
         Traits traits = {}) {
  out.push_back(option<Config>(std::move(key), field, default_value, std::move(help), std::move(traits)));
}

void add_client(Options& out) {
  add(out, "client.listen", OXBOW_FIELD(client.listen), {"127.0.0.1:5050", "[::1]:5050"},
      "Addresses on which clients are served; HTTPS when client.tls is set, plaintext otherwise.",
      {.bounds = {.check = check_listen}});
  add(out, "client.tls.certificate", OXBOW_FIELD(client.tls.certificate), "",
      "PEM file of the server's certificate chain. HTTP/2 is offered by ALPN.", {.example = "/etc/oxbow/tls.crt"});
  add(out, "client.tls.key", OXBOW_FIELD(client.tls.key), "", "PEM file of the certificate's key.",
      {.example = "/etc/oxbow/tls.key"});
  add(out, "client.default_registry", OXBOW_FIELD(client.default_registry), "docker.io",
      "The registry of requests that name none, by ?ns=, path or a known digest. Empty: such requests get 404.",
      {.reloadable = true, .bounds = {.check = check_registry_name}});
  add(out, "client.allow_any_registry", OXBOW_FIELD(client.allow_any_registry), false,
      "Also mirror registries that are not configured. Private, loopback and link-local addresses stay refused.",
      {.reloadable = true});
  add(out, "client.builtin_registries", OXBOW_FIELD(client.builtin_registries), true,
      "Mirror the well-known public registries without naming them in this file.", {.reloadable = true});
  add(out, "client.drain_timeout", OXBOW_FIELD(client.drain_timeout), std::chrono::seconds(10),
      "How long running responses may finish after SIGTERM.", {.bounds = {.max = 60 * kMinute}});
}

void add_storage(Options& out) {
  add(out, "storage.directory", OXBOW_FIELD(storage.directory), "/var/lib/oxbow",
      "Where blobs and the index are kept. One daemon a directory.", {.bounds = {.check = check_absolute_path}});
  add(out, "storage.budget", OXBOW_FIELD(storage.budget), Amount{true, 10, 0},
      "How much may be kept: a size, or a share of the file system.", {.unit = "bytes or percent"});
  add(out, "storage.free_space_floor", OXBOW_FIELD(storage.free_space_floor), Amount{true, 5, 0},
      "Free space of the file system that is never used.", {.unit = "bytes or percent"});
  out.push_back(choice<Config>(
      "storage.io_engine", OXBOW_FIELD(storage.io_engine),
      {{"auto", IoEngine::kAuto}, {"io_uring", IoEngine::kUring}, {"threads", IoEngine::kThreads}}, IoEngine::kAuto,
      "How the disk is read and written. auto: io_uring where the kernel allows it.", false));
  add(out, "storage.scrub_bandwidth", OXBOW_FIELD(storage.scrub_bandwidth), 20 * kMiB,
      "How fast the idle-time check of stored stripes may read.",
      {.unit = "bytes per second", .bounds = {.min = 64 * 1024}});
  add(out, "storage.scrub_interval", OXBOW_FIELD(storage.scrub_interval), std::chrono::hours(24 * 7),
      "How often every stored stripe is checked. 0: never.");
  add(out, "storage.write_arena", OXBOW_FIELD(storage.write_arena), 24 * kMiB,
      "Received bytes that are not yet in a file. When it is full, upstream connections wait.",
      {.unit = "bytes", .bounds = {.min = 1.0 * kMiB}});
}

void add_peers(Options& out) {
  add(out, "peer.name", OXBOW_FIELD(peer.name), "", "This node's name among its peers. Empty: the host name.",
      {.example = "node-7", .bounds = {.check = check_label}});
  add(out, "peer.listen", OXBOW_FIELD(peer.listen), "",
      "Address on which peers are served. Empty: this node has no peers.",
      {.example = "10.0.0.7:5051", .bounds = {.check = check_listen}});
  add(out, "peer.advertise", OXBOW_FIELD(peer.advertise), "", "Address that peers connect to. Empty: peer.listen.",
      {.example = "10.0.0.7:5051", .bounds = {.check = check_host_port}});
  add(out, "peer.location", OXBOW_FIELD(peer.location), {}, "Labels from wide to narrow.",
      {.example = R"(["zone-a", "row-3", "rack-12"])", .bounds = {.check = check_label}});
  add(out, "peer.weight", OXBOW_FIELD(peer.weight), 1.0, "Share of the ring relative to other nodes.",
      {.bounds = {.min = 0.01, .max = 100}});
  add(out, "peer.tls.ca", OXBOW_FIELD(peer.tls.ca), "", "PEM file of the cluster's CA.",
      {.example = "/etc/oxbow/ca.crt"});
  add(out, "peer.tls.certificate", OXBOW_FIELD(peer.tls.certificate), "", "PEM file of this node's certificate.",
      {.example = "/etc/oxbow/node.crt"});
  add(out, "peer.tls.key", OXBOW_FIELD(peer.tls.key), "", "PEM file of this node's key.",
      {.example = "/etc/oxbow/node.key"});
  add(out, "peer.tls.insecure", OXBOW_FIELD(peer.tls.insecure), false,
      "Talk to peers without TLS: anybody who reaches the port is a peer. For tests.");
  add(out, "peer.revoked_file", OXBOW_FIELD(peer.revoked_file), "",
      "List of names and serials whose certificates are not believed any more, as `oxbow ca revoke` writes it. "
      "Watched.",
      {.example = "/etc/oxbow/revoked.json", .bounds = {.check = check_absolute_path}});
  out.push_back(choice<Config>("membership.provider", OXBOW_FIELD(membership.provider),
                               {{"static", MembershipProvider::kStatic},
                                {"file", MembershipProvider::kFile},
                                {"dns", MembershipProvider::kDns},
                                {"etcd", MembershipProvider::kEtcd},
                                {"kubernetes", MembershipProvider::kKubernetes}},
                               MembershipProvider::kStatic, "Where the list of peers comes from.", false));
  add(out, "membership.peers", OXBOW_FIELD(membership.peers), {}, "The peers, for the static provider.",
      {.example = R"(["10.0.0.7:5051", "10.0.0.8:5051"])", .bounds = {.check = check_host_port}});
  add(out, "membership.path", OXBOW_FIELD(membership.path), "",
      "For the file provider: JSON with members, or a host:port a line. Watched.",
      {.example = "/etc/oxbow/peers.json", .bounds = {.check = check_absolute_path}});
  add(out, "membership.name", OXBOW_FIELD(membership.name), "",
      "For the dns provider: a name with A or AAAA records, or with SRV records when it begins with _.",
      {.example = "oxbow.infra.svc.cluster.local"});
  add(out, "membership.port", OXBOW_FIELD(membership.port), 5051, "For the dns provider: the peers' port, without SRV.",
      {.bounds = {.min = 1, .max = 65'535}});
  add(out, "membership.interval", OXBOW_FIELD(membership.interval), std::chrono::seconds(10),
      "For the dns provider: how often the name is resolved.", {.bounds = {.min = 1000, .max = 60 * kMinute}});
  add(out, "membership.endpoints", OXBOW_FIELD(membership.endpoints), {},
      "For the etcd provider: URLs of its v3 JSON gateway, in order of preference.",
      {.example = R"(["https://10.0.0.1:2379"])", .bounds = {.check = check_upstream}});
  add(out, "membership.prefix", OXBOW_FIELD(membership.prefix), "/oxbow/", "For the etcd provider: before its keys.");
  add(out, "membership.tls.ca", OXBOW_FIELD(membership.tls.ca), "",
      "PEM file of the CA that signed etcd's certificate.",
      {.example = "/etc/oxbow/etcd-ca.crt", .bounds = {.check = check_absolute_path}});
  add(out, "membership.tls.certificate", OXBOW_FIELD(membership.tls.certificate), "",
      "PEM file shown to etcd, with membership.tls.key.",
      {.example = "/etc/oxbow/etcd.crt", .bounds = {.check = check_absolute_path}});
  add(out, "membership.tls.key", OXBOW_FIELD(membership.tls.key), "", "PEM file of its key.",
      {.example = "/etc/oxbow/etcd.key", .bounds = {.check = check_absolute_path}});
  add(out, "membership.username", OXBOW_FIELD(membership.username), "", "For etcd with authentication.",
      {.example = "oxbow"});
  add(out, "membership.password_file", OXBOW_FIELD(membership.password_file), "", "File that holds its password.",
      {.example = "/etc/oxbow/etcd.password", .bounds = {.check = check_absolute_path}});
  add(out, "membership.lease_ttl", OXBOW_FIELD(membership.lease_ttl), std::chrono::seconds(15),
      "For the etcd provider: how long a node that died stays listed.", {.bounds = {.min = 2000, .max = 60 * kMinute}});
  add(out, "membership.api_server", OXBOW_FIELD(membership.api_server), "",
      "For the kubernetes provider: URL of the API server. A pod knows its own.",
      {.example = "https://10.0.0.1:6443", .bounds = {.check = check_upstream}});
  add(out, "membership.namespace", OXBOW_FIELD(membership.namespace_name), "",
      "For the kubernetes provider: where the Service is. A pod knows its own.",
      {.example = "oxbow", .bounds = {.check = check_object_name}});
  add(out, "membership.service", OXBOW_FIELD(membership.service), "oxbow",
      "For the kubernetes provider: the Service whose endpoints are the peers. A peer's name is that of its node.",
      {.bounds = {.check = check_object_name}});
  add(out, "membership.port_name", OXBOW_FIELD(membership.port_name), "peers",
      "For the kubernetes provider: the Service's port for peers. Empty: the one without a name.",
      {.bounds = {.check = check_label}});
  add(out, "membership.config_map", OXBOW_FIELD(membership.config_map), "oxbow-cluster",
      "For the kubernetes provider: the ConfigMap with what all nodes share: settings, revoked.",
      {.bounds = {.check = check_object_name}});
  add(out, "membership.location_labels", OXBOW_FIELD(membership.location_labels),
      {"topology.kubernetes.io/region", "topology.kubernetes.io/zone"},
      "For the kubernetes provider: labels of this node, from wide to narrow, that are its location where "
      "peer.location "
      "is not set.",
      {.bounds = {.check = check_label}});
  add(out, "membership.account_directory", OXBOW_FIELD(membership.account_directory),
      "/var/run/secrets/kubernetes.io/serviceaccount",
      "For the kubernetes provider: the service account's token, ca.crt and namespace. Read anew when they change.",
      {.bounds = {.check = check_absolute_path}});
  out.push_back(choice<Config>("routing.strategy", OXBOW_FIELD(routing.strategy),
                               {{"swarm", Strategy::kSwarm},
                                {"ring", Strategy::kRing},
                                {"fingers", Strategy::kFingers},
                                {"single", Strategy::kSingle}},
                               Strategy::kSwarm,
                               "How stripes are found among peers. swarm: from whoever has them. ring: from the owners "
                               "on the ring. fingers: along "
                               "paths of the ring. single: no peers.",
                               false));
  add(out, "routing.replicas", OXBOW_FIELD(routing.replicas), 3, "Owners of a key on the ring.",
      {.bounds = {.min = 1, .max = 64}});
}

void add_admin(Options& out) {
  add(out, "admin.listen", OXBOW_FIELD(admin.listen), "127.0.0.1:5052",
      "Address of /metrics, /healthz and /readyz. Empty: none.", {.bounds = {.check = check_listen}});
  add(out, "admin.socket", OXBOW_FIELD(admin.socket), "/run/oxbow/admin.sock",
      "Unix socket for changes, mode 0660: who may open it may change the cache. Empty: none.",
      {.bounds = {.check = check_absolute_path}});
}

void add_limits(Options& out) {
  add(out, "limits.memory", OXBOW_FIELD(limits.memory), 256 * kMiB,
      "Memory for the windows of readers whose bytes cannot be kept on the disk: 1 MiB each, less where they are many.",
      {.unit = "bytes", .bounds = {.min = 64.0 * kMiB}});
  add(out, "limits.upstream_bandwidth", OXBOW_FIELD(limits.upstream_bandwidth), 0,
      "All registries together. 0: unlimited.", {.unit = "bytes per second", .reloadable = true});
  add(out, "limits.preheat_bandwidth", OXBOW_FIELD(limits.preheat_bandwidth), 0,
      "From each registry, for preheats (oxbow pull --nodes); within upstream_bandwidth. 0: unlimited.",
      {.unit = "bytes per second", .reloadable = true});
  add(out, "limits.peer_upload_bandwidth", OXBOW_FIELD(limits.peer_upload_bandwidth), 0, "To all peers. 0: unlimited.",
      {.unit = "bytes per second"});
  add(out, "limits.peer_upload_slots", OXBOW_FIELD(limits.peer_upload_slots), 8, "Peers served at the same time.",
      {.unit = "peers", .bounds = {.min = 1, .max = 1024}});
  add(out, "limits.connections", OXBOW_FIELD(limits.connections), 16'384, "Client connections at the same time.",
      {.unit = "connections", .bounds = {.min = 16, .max = 1'000'000}});
  add(out, "limits.header_bytes", OXBOW_FIELD(limits.header_bytes), 96ULL * 1024,
      "Request line and header fields of one request. podman sends up to 64 KiB of ranges.",
      {.unit = "bytes", .bounds = {.min = 8192, .max = 1.0 * kMiB}});
  add(out, "limits.request_body_bytes", OXBOW_FIELD(limits.request_body_bytes), kMiB,
      "Body of a refused push that is read and dropped before the connection is closed.",
      {.unit = "bytes", .bounds = {.max = 1024.0 * kMiB}});
  add(out, "limits.ranges", OXBOW_FIELD(limits.ranges), 1024, "Ranges in one request.",
      {.unit = "ranges", .bounds = {.min = 1, .max = 4096}});
  add(out, "limits.h2_streams", OXBOW_FIELD(limits.h2_streams), 128, "Streams of one HTTP/2 connection.",
      {.unit = "streams", .bounds = {.min = 1, .max = 10'000}});
  add(out, "limits.h2_resets_per_second", OXBOW_FIELD(limits.h2_resets_per_second), 100,
      "Streams that one HTTP/2 client may reset; more close its connection.",
      {.unit = "resets per second", .bounds = {.min = 1, .max = 100'000}});
  add(out, "limits.header_timeout", OXBOW_FIELD(limits.header_timeout), std::chrono::seconds(10),
      "From the first byte of a request to the end of its header.", {.bounds = {.min = 100, .max = 60 * kMinute}});
  add(out, "limits.idle_timeout", OXBOW_FIELD(limits.idle_timeout), std::chrono::minutes(2),
      "Between two requests of a connection.", {.bounds = {.min = 1000, .max = kDay}});
  add(out, "limits.send_timeout", OXBOW_FIELD(limits.send_timeout), std::chrono::minutes(2),
      "A client that takes no byte of its response for this long is cut.", {.bounds = {.min = 1000, .max = kDay}});
}

void add_log(Options& out) {
  out.push_back(choice<Config>(
      "log.level", OXBOW_FIELD(log.level),
      {{"debug", LogLevel::kDebug}, {"info", LogLevel::kInfo}, {"warn", LogLevel::kWarn}, {"error", LogLevel::kError}},
      LogLevel::kInfo, "debug: a line a request; info: a line a pull.", true));
  out.push_back(choice<Config>("log.format", OXBOW_FIELD(log.format),
                               {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}, LogFormat::kText,
                               "key=value fields, or one JSON object a line.", false));
}

template <typename Field>
void add(std::vector<Option<Registry>>& out, std::string key, Field field,
         const FieldType<Registry, Field>& default_value, std::string help, Traits traits = {}) {
  traits.reloadable = true;  // a changed registry replaces the old one for new requests
  out.push_back(option<Registry>(std::move(key), field, default_value, std::move(help), std::move(traits)));
}

void add_registry_identity(std::vector<Option<Registry>>& out) {
  add(out, "name", OXBOW_FIELD(name), "",
      "Host, or host:port, as clients write it in image names. A built-in name changes only the keys given here.",
      {.example = "registry.corp:5000", .bounds = {.check = check_registry_name}});
  add(out, "aliases", OXBOW_FIELD(aliases), {}, "Other names for it in ?ns= and in paths.",
      {.example = R"(["corp"])", .bounds = {.check = check_registry_name}});
  add(out, "upstreams", OXBOW_FIELD(upstreams), {},
      "Its URLs in order of preference; the next one is used when one fails. Empty: https://<name>.",
      {.example = R"(["https://registry.corp:5000"])", .bounds = {.check = check_upstream}});
}

void add_registry_access(std::vector<Option<Registry>>& out) {
  out.push_back(choice<Registry>("credentials", OXBOW_FIELD(credentials),
                                 {{"client", Credentials::kClient}, {"node", Credentials::kNode}}, Credentials::kClient,
                                 "client: anonymous first, else the client's own credentials. node: credential_source "
                                 "for everybody, so that every "
                                 "client of this mirror may read what the node may read.",
                                 true));
  add(out, "credential_source.docker_config", OXBOW_FIELD(credential_source.docker_config), "",
      "Docker config.json with auths, credsStore or credHelpers.",
      {.example = "/root/.docker/config.json", .bounds = {.check = check_absolute_path}});
  add(out, "credential_source.helper", OXBOW_FIELD(credential_source.helper), "",
      "Docker credential helper: X of docker-credential-X, or its path.", {.example = "ecr-login"});
  add(out, "credential_source.kubelet_provider.bin_dir", OXBOW_FIELD(credential_source.kubelet_provider_bin_dir), "",
      "Directory of the kubelet's credential provider plugins.",
      {.example = "/usr/libexec/kubernetes/plugins", .bounds = {.check = check_absolute_path}});
  add(out, "credential_source.kubelet_provider.config", OXBOW_FIELD(credential_source.kubelet_provider_config), "",
      "The kubelet's CredentialProviderConfig file.",
      {.example = "/etc/kubernetes/credential-provider.yaml", .bounds = {.check = check_absolute_path}});
  add(out, "credential_source.username", OXBOW_FIELD(credential_source.username), "", "User name, with password_file.",
      {.example = "robot"});
  add(out, "credential_source.password_file", OXBOW_FIELD(credential_source.password_file), "",
      "File that holds the password or token.",
      {.example = "/etc/oxbow/registry.password", .bounds = {.check = check_absolute_path}});
  add(out, "access_ttl", OXBOW_FIELD(access_ttl), std::chrono::minutes(5),
      "How long what a client's credential was allowed stays allowed without asking again.", {.bounds = {.max = kDay}});
  add(out, "allow", OXBOW_FIELD(allow), {"*"}, "Repositories that are mirrored: patterns with * (also over /) and ?.",
      {.bounds = {.check = check_pattern}});
  add(out, "deny", OXBOW_FIELD(deny), {}, "Repositories that are not; wins over allow.",
      {.example = R"(["secret/*"])", .bounds = {.check = check_pattern}});
}

void add_registry_transport(std::vector<Option<Registry>>& out) {
  add(out, "ca", OXBOW_FIELD(ca), "", "PEM file of the CA that signed its certificate. Empty: the system's.",
      {.example = "/etc/oxbow/corp-ca.crt", .bounds = {.check = check_absolute_path}});
  add(out, "client_certificate", OXBOW_FIELD(client_certificate), "",
      "PEM file shown to the registry, with client_key.",
      {.example = "/etc/oxbow/client.crt", .bounds = {.check = check_absolute_path}});
  add(out, "client_key", OXBOW_FIELD(client_key), "", "PEM file of its key.",
      {.example = "/etc/oxbow/client.key", .bounds = {.check = check_absolute_path}});
  add(out, "proxy", OXBOW_FIELD(proxy), "", "HTTP or SOCKS proxy towards it. A password in it is never shown.",
      {.example = "http://proxy.corp:3128", .bounds = {.check = check_proxy}, .is_secret_url = true});
  add(out, "max_connections", OXBOW_FIELD(max_connections), 64, "Requests to it at the same time.",
      {.unit = "connections", .bounds = {.min = 1, .max = 4096}});
  add(out, "bandwidth", OXBOW_FIELD(bandwidth), 0, "Download limit. 0: unlimited.", {.unit = "bytes per second"});
  add(out, "connect_timeout", OXBOW_FIELD(connect_timeout), std::chrono::seconds(2),
      "To reach it, TLS included; the next upstream or a stale answer follows.",
      {.bounds = {.min = 50, .max = 60 * kMinute}});
  add(out, "no_progress_timeout", OXBOW_FIELD(no_progress_timeout), std::chrono::seconds(10),
      "A download that brings no byte for this long is resumed on a new connection.",
      {.bounds = {.min = 100, .max = 60 * kMinute}});
}

}  // namespace

std::vector<Option<Config>> section_options() {
  Options out;
  add_client(out);
  add_storage(out);
  add_peers(out);
  add_admin(out);
  add_limits(out);
  add_log(out);
  return out;
}

std::vector<Option<Registry>> registry_options() {
  std::vector<Option<Registry>> out;
  add_registry_identity(out);
  add_registry_access(out);
  add(out, "tag_ttl", OXBOW_FIELD(tag_ttl), std::chrono::seconds(5),
      "How long a tag's digest is believed before a HEAD asks again. 0: asked every time.",
      {.bounds = {.max = 365 * kDay}});
  out.push_back(choice<Registry>("tags_via", OXBOW_FIELD(tags_via),
                                 {{"self", TagsVia::kSelf}, {"owner", TagsVia::kOwner}}, TagsVia::kSelf,
                                 "Who asks for tags: each node itself, or the tag's owner on the ring.", true));
  add(out, "stale_if_error", OXBOW_FIELD(stale_if_error), std::chrono::hours(24),
      "How old a tag may be that is served, with a Warning, while the registry fails. 0: never.",
      {.bounds = {.max = 3650 * kDay}});
  add_registry_transport(out);
  return out;
}

#undef OXBOW_FIELD

std::vector<SectionText> sections() {
  return {{"client", "Where containerd and other clients are served."},
          {"storage", "What is kept on this node's disk."},
          {"peer", "This node as its peers see it. Without peer.listen it has none."},
          {"membership", "Who the peers are. Without effect while peer.listen is empty or routing.strategy is single."},
          {"routing", "How stripes are found among peers."},
          {"admin", "Metrics, health and changes."},
          {"limits", "Every limit has a metric: oxbow_limit_hits_total{limit}."},
          {"log", "One line an event, on standard error. Credentials are never logged."}};
}

}  // namespace oxbow::config

// The configuration as plain values, one struct a section of oxbow.toml. The defaults stand in schema.cc, beside key,
// unit and help, so that file, documentation and code cannot disagree; `defaults()` gives them. Thread rule: plain
// values.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oxbow::config {

using Milliseconds = std::chrono::milliseconds;

/// "10%" or "200GiB".
struct Amount {
  bool is_percent = false;
  double percent = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Amount&) const = default;
};

/// PEM files; all empty: not set.
struct Tls {
  std::string ca;
  std::string certificate;
  std::string key;
  bool insecure = false;
  bool operator==(const Tls&) const = default;
};

struct Client {
  std::vector<std::string> listen;
  Tls tls;  ///< certificate and key
  std::string default_registry;
  bool allow_any_registry = false;
  bool builtin_registries = true;
  Milliseconds drain_timeout{};
};

enum class IoEngine { kAuto, kUring, kThreads };

struct Storage {
  std::string directory;
  Amount budget;
  Amount free_space_floor;
  IoEngine io_engine = IoEngine::kAuto;
  std::uint64_t scrub_bandwidth = 0;  ///< bytes per second
  Milliseconds scrub_interval{};
  std::uint64_t write_arena = 0;  ///< bytes
};

enum class Credentials { kClient, kNode };
enum class TagsVia { kSelf, kOwner };

/// Where the node's own credentials come from; at most one kind is set.
struct CredentialSource {
  std::string docker_config;             ///< path of a Docker config.json
  std::string helper;                    ///< `X` of docker-credential-X, or a path
  std::string kubelet_provider_bin_dir;  ///< with kubelet_provider_config
  std::string kubelet_provider_config;
  std::string username;  ///< with password_file
  std::string password_file;
  bool empty() const noexcept {
    return docker_config.empty() && helper.empty() && kubelet_provider_bin_dir.empty() &&
           kubelet_provider_config.empty() && username.empty() && password_file.empty();
  }
  bool operator==(const CredentialSource&) const = default;
};

struct Registry {
  std::string name;  ///< host, or host:port, in lower case
  std::vector<std::string> aliases;
  std::vector<std::string> upstreams;  ///< http(s)://host[:port][/path], in order of preference, never empty
  Credentials credentials = Credentials::kClient;
  CredentialSource credential_source;
  Milliseconds access_ttl{};
  Milliseconds tag_ttl{};
  TagsVia tags_via = TagsVia::kSelf;
  Milliseconds stale_if_error{};
  std::vector<std::string> allow;
  std::vector<std::string> deny;
  std::string ca;
  std::string client_certificate;
  std::string client_key;
  std::string proxy;
  std::uint32_t max_connections = 0;
  std::uint64_t bandwidth = 0;  ///< bytes per second; 0: unlimited
  Milliseconds connect_timeout{};
  Milliseconds no_progress_timeout{};
};

struct Peer {
  std::string name;  ///< empty: the host name
  std::string listen;
  std::string advertise;
  std::vector<std::string> location;
  double weight = 1;
  Tls tls;
  std::string revoked_file;
};

enum class MembershipProvider { kStatic, kFile, kDns, kEtcd, kKubernetes };

struct Membership {
  MembershipProvider provider = MembershipProvider::kStatic;
  std::vector<std::string> peers;      ///< static
  std::string path;                    ///< file
  std::string name;                    ///< dns
  std::uint32_t port = 0;              ///< dns
  Milliseconds interval{};             ///< dns
  std::vector<std::string> endpoints;  ///< etcd
  std::string prefix;
  Tls tls;
  std::string username;
  std::string password_file;
  Milliseconds lease_ttl{};
  std::string api_server;  ///< kubernetes, and the rest of this struct
  std::string namespace_name;
  std::string service;
  std::string port_name;
  std::string config_map;
  std::vector<std::string> location_labels;
  std::string account_directory;
};

enum class Strategy { kSwarm, kRing, kFingers, kSingle };

struct Routing {
  Strategy strategy = Strategy::kSwarm;
  std::uint32_t replicas = 0;
};

struct Admin {
  std::string listen;  ///< empty: none
  std::string socket;  ///< empty: none
};

struct Limits {
  std::uint64_t memory = 0;                 ///< bytes
  std::uint64_t upstream_bandwidth = 0;     ///< bytes per second; 0: unlimited
  std::uint64_t preheat_bandwidth = 0;      ///< bytes per second; 0: unlimited
  std::uint64_t peer_upload_bandwidth = 0;  ///< bytes per second; 0: unlimited
  std::uint32_t peer_upload_slots = 0;
  std::uint32_t connections = 0;
  std::uint64_t header_bytes = 0;
  std::uint64_t request_body_bytes = 0;
  std::uint32_t ranges = 0;
  std::uint32_t h2_streams = 0;
  std::uint32_t h2_resets_per_second = 0;
  Milliseconds header_timeout{};
  Milliseconds idle_timeout{};
  Milliseconds send_timeout{};
};

enum class LogLevel { kDebug, kInfo, kWarn, kError };
enum class LogFormat { kText, kJson };

struct Log {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

struct Config {
  Client client;
  Storage storage;
  std::vector<Registry> registries;
  Peer peer;
  Membership membership;
  Routing routing;
  Admin admin;
  Limits limits;
  Log log;
};

/// Whether this node takes part in a ring: it has an address for its peers and a strategy that uses them.
bool has_peers(const Config& config) noexcept;

/// Where its peers are told to connect.
const std::string& advertised(const Peer& peer) noexcept;

/// What holds with no file at all: the defaults of schema.cc and the built-in registries.
Config defaults();
/// The public registries that are mirrored without being named in the file, with anonymous or the client's own
/// credentials.
std::vector<Registry> builtin_registries();
/// A registry of that name as it is before the file says anything: upstream `https://<name>`.
Registry default_registry_entry(std::string_view name);

}  // namespace oxbow::config

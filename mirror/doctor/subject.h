// What all checks are given: the configuration, the node, and what was asked of the network once for all of them.
// Thread rule: plain values; read only while checks run.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "mirror/doctor/system.h"

namespace oxbow::mirror::doctor {

/// Each question to the network waits this long at most.
inline constexpr std::chrono::milliseconds kAskTimeout{3'000};
/// Peers that are asked; of larger clusters a part of this size, spread over the list.
inline constexpr std::size_t kMaxPeersAsked = 32;

struct Options {
  std::string root = "/";  ///< the node's file system, for what other programs read: runtimes
  std::string state = "/etc/oxbow/install";
  std::string containerd_config = "/etc/containerd/config.toml";
  std::string mirror = {};  ///< the URL that runtimes are to have; empty: from client.listen
  std::string version = {};
};

/// A process that listens, as far as this user may see.
struct Holder {
  int pid = 0;
  std::string name;
  bool is_oxbow() const { return name.starts_with("oxbow"); }
  /// systemd, which holds the sockets of oxbow.socket.
  bool is_init() const { return pid == 1; }
};
struct PortUse {
  bool listening = false;
  std::optional<uid_t> owner;   ///< of the socket
  std::vector<Holder> holders;  ///< none although something listens: this user may not see them
};

struct AskedPort {
  std::string key;      ///< "client.listen"
  std::string address;  ///< host:port
  PortUse use;
};

struct DaemonFacts {
  std::vector<AskedPort> ports;
  std::optional<int> pid;
  std::optional<HttpReply> client, ready, status, peers, socket;  ///< nothing: not configured, so not asked
  std::string client_url, admin_url;       ///< of the socket its path, where there is no admin.listen
  nlohmann::json status_json, peers_json;  ///< null: not answered, or this daemon does not know them

  bool answers() const { return (status && status->answered()) || (client && client->answered()); }
};

struct UpstreamFacts {
  const config::Registry* registry = nullptr;
  bool built_in = false;  ///< and left as it is
  std::vector<HttpReply> urls;
  std::optional<HttpReply> token;  ///< of the realm that the first answer names
  std::string realm;
  std::optional<NodeAnswer> node;
};

struct PeerFacts {
  std::string name;  ///< empty: not known
  std::string address;
  HttpReply reply;
};

struct NetworkFacts {
  std::vector<UpstreamFacts> upstreams;
  std::vector<PeerFacts> peers;
  std::size_t peers_known = 0;
  std::string peers_unknown;  ///< why the list of peers could not be had; empty: it could
};

struct Subject {
  const config::Config& config;
  const System& system;
  Options options;
  DaemonFacts daemon;
  NetworkFacts network;
};

using Progress = std::function<void(std::string_view)>;

/// Who listens, and what the daemon answers.
void gather_daemon(Subject& subject);
void gather_upstreams(Subject& subject);
void gather_peers(Subject& subject);

/// "127.0.0.1:5050" of "0.0.0.0:5050", "[::1]:5050" of "[::]:5050": where this node itself reaches it.
std::string reachable(const std::string& listen);

}  // namespace oxbow::mirror::doctor

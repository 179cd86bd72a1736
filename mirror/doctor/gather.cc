// What is asked of the network, once for all checks.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "mirror/doctor/json_reading.h"
#include "mirror/doctor/processes.h"
#include "mirror/doctor/subject.h"
#include "mirror/ring_options.h"
#include "mirror/upstream_options.h"
#include "p2p/membership/dns_lookup.h"
#include "p2p/membership/member_format.h"
#include "p2p/protocol/stripe_fields.h"
#include "registry-api/challenge.h"

namespace oxbow::mirror::doctor {
namespace {

void add_port(std::vector<AskedPort>& ports, const std::string& key, const std::string& address) {
  if (!address.empty() && !address.starts_with("fd:")) ports.push_back({key, address, {}});
}

/// Null where it is not JSON, or not the answer.
nlohmann::json json_of(const std::optional<HttpReply>& reply) {
  if (!reply || reply->status != 200) return nullptr;
  auto parsed = nlohmann::json::parse(reply->body, nullptr, false);
  return parsed.is_object() ? std::move(parsed) : nlohmann::json();
}

std::optional<int> find_daemon(const Subject& subject) {
  for (const auto& port : subject.daemon.ports) {
    for (const auto& holder : port.use.holders) {
      if (holder.is_oxbow()) return holder.pid;
    }
  }
  const bool its = std::ranges::any_of(
      subject.daemon.ports, [](const AskedPort& port) { return port.use.listening && port.use.holders.empty(); });
  return its ? only_process(subject.system, "oxbow", "serve") : std::nullopt;
}

bool is_built_in(const config::Registry& registry) {
  const auto known = config::builtin_registries();
  return std::ranges::any_of(known, [&](const config::Registry& one) {
    return one.name == registry.name && one.upstreams == registry.upstreams && one.ca == registry.ca &&
           one.proxy == registry.proxy && one.credentials == registry.credentials &&
           one.credential_source == registry.credential_source && one.aliases == registry.aliases;
  });
}

HttpAsk upstream_ask(const config::Registry& registry, const std::string& url) {
  HttpAsk ask;
  ask.url = url;
  ask.ca_file = registry.ca;
  ask.certificate_file = registry.client_certificate;
  ask.key_file = registry.client_key;
  ask.proxy = registry.proxy;
  return ask;
}

std::string realm_of(const UpstreamFacts& facts) {
  for (const auto& reply : facts.urls) {
    if (reply.status != 401) continue;
    for (const auto& challenge : registry_api::parse_challenges(reply.header("www-authenticate"))) {
      const auto realm = challenge.find("realm");
      if (challenge.scheme != "bearer" || !realm) continue;
      const auto service = challenge.find("service");
      return std::string(*realm) +
             (service ? (realm->contains('?') ? "&service=" : "?service=") + std::string(*service) : "");
    }
  }
  return {};
}

void ask_token_services(Subject& subject) {
  std::vector<HttpAsk> asks;
  std::vector<UpstreamFacts*> whose;
  for (auto& facts : subject.network.upstreams) {
    facts.realm = realm_of(facts);
    if (facts.realm.empty()) continue;
    auto ask = upstream_ask(*facts.registry, facts.realm);
    std::ranges::replace(ask.url, ' ', '+');
    asks.push_back(std::move(ask));
    whose.push_back(&facts);
  }
  auto replies = subject.system.fetch(asks, kAskTimeout);
  for (std::size_t i = 0; i < whose.size(); ++i) whose[i]->token = std::move(replies[i]);
}

void ask_with_credentials(Subject& subject) {
  std::vector<upstream::UpstreamConfig> asks;
  std::vector<UpstreamFacts*> whose;
  for (auto& facts : subject.network.upstreams) {
    const bool reached = std::ranges::any_of(facts.urls, &HttpReply::answered);
    if (!reached || facts.registry->credential_source.empty()) continue;
    asks.push_back(upstream_options(*facts.registry));
    whose.push_back(&facts);
  }
  if (asks.empty()) return;
  auto answers = subject.system.ask_as_node(asks, kAskTimeout);
  for (std::size_t i = 0; i < whose.size(); ++i) whose[i]->node = std::move(answers[i]);
}

struct Named {
  std::string name, address;
};

/// Of the daemon's table, which has the names too; else of the configuration.
std::vector<Named> known_peers(Subject& subject) {
  std::vector<Named> out;
  const auto& table = subject.daemon.peers_json;
  for (const auto& peer : list_at(table, {"peers"})) {
    const auto& addresses = list_at(peer, {"addresses"});
    if (is_true(peer, {"self"}) || addresses.empty() || !addresses.front().is_string()) continue;
    out.push_back({text_at(peer, {"name"}), addresses.front().get<std::string>()});
  }
  // Who never answered is known by its address only and is not in the table.
  if (value_at(table, {"peers"}) && number_at(table, {"unnamed"}).value_or(0) == 0) return out;
  const auto from_table = out.size();
  const auto add = [&](const std::string& name, const std::string& address) {
    if (from_table == 0 || std::ranges::find(out, address, &Named::address) == out.end())
      out.push_back({name, address});
  };
  const auto& membership = subject.config.membership;
  using enum config::MembershipProvider;
  if (membership.provider == kStatic) {
    for (const auto& peer : membership.peers) add("", peer);
  } else if (membership.provider == kFile) {
    const auto text = subject.system.read(membership.path);
    const auto members = text ? p2p::parse_member_file(*text) : std::unexpected(text.error());
    if (!members) subject.network.peers_unknown = members.error().what();
    if (members) {
      for (const auto& member : *members) {
        if (!member.addresses.empty()) add(member.name, member.addresses.front());
      }
    }
  } else if (membership.provider == kDns) {
    const auto found = p2p::look_up({membership.name, static_cast<std::uint16_t>(membership.port), {}, {}});
    if (!found) subject.network.peers_unknown = fmt::format("{}: {}", membership.name, found.error().what());
    if (found) {
      for (const auto& address : found->addresses) add("", address);
    }
  } else if (!table.is_object()) {
    subject.network.peers_unknown = "the list of peers is known to a running daemon only";
  }
  return out;
}

}  // namespace

std::string reachable(const std::string& listen) {
  const auto colon = listen.rfind(':');
  if (colon == std::string::npos) return listen;
  const auto host = listen.substr(0, colon);
  if (host.empty() || host == "0.0.0.0" || host == "*") return "127.0.0.1" + listen.substr(colon);
  if (host == "[::]") return "[::1]" + listen.substr(colon);
  return listen;
}

void gather_daemon(Subject& subject) {
  const auto& config = subject.config;
  auto& daemon = subject.daemon;
  for (const auto& address : config.client.listen) add_port(daemon.ports, "client.listen", address);
  add_port(daemon.ports, "admin.listen", config.admin.listen);
  if (config::has_peers(config)) add_port(daemon.ports, "peer.listen", config.peer.listen);
  look_who_listens(subject.system, daemon.ports);
  daemon.pid = find_daemon(subject);

  std::vector<HttpAsk> asks;
  std::vector<std::optional<HttpReply>*> whose;
  if (const auto client = std::ranges::find(daemon.ports, "client.listen", &AskedPort::key);
      client != daemon.ports.end()) {
    const bool secure = !config.client.tls.certificate.empty();
    daemon.client_url = (secure ? "https://" : "http://") + reachable(client->address);
    HttpAsk ask;
    ask.url = daemon.client_url + "/v2/";
    ask.any_name = true;
    if (secure) ask.ca_file = config.client.tls.certificate;
    asks.push_back(std::move(ask));
    whose.push_back(&daemon.client);
  }
  const bool by_tcp = !config.admin.listen.empty() && !config.admin.listen.starts_with("fd:");
  const auto& socket = config.admin.socket;
  if (by_tcp || !socket.empty()) {
    daemon.admin_url = by_tcp ? "http://" + reachable(config.admin.listen) : socket;
    for (const auto& [path, where] : {std::pair("/readyz", &daemon.ready), std::pair("/api/v1/status", &daemon.status),
                                      std::pair("/api/v1/peers", &daemon.peers)}) {
      HttpAsk ask;
      ask.url = (by_tcp ? daemon.admin_url : "http://localhost") + path;
      if (!by_tcp) ask.unix_socket = socket;
      asks.push_back(std::move(ask));
      whose.push_back(where);
    }
  }
  if (!socket.empty()) {
    HttpAsk ask;
    ask.url = "http://localhost/healthz";
    ask.unix_socket = socket;
    asks.push_back(std::move(ask));
    whose.push_back(&daemon.socket);
  }
  auto replies = subject.system.fetch(asks, kAskTimeout);
  for (std::size_t i = 0; i < whose.size(); ++i) *whose[i] = std::move(replies[i]);
  daemon.status_json = json_of(daemon.status);
  daemon.peers_json = json_of(daemon.peers);
}

void gather_upstreams(Subject& subject) {
  std::vector<HttpAsk> asks;
  for (const auto& registry : subject.config.registries) {
    UpstreamFacts facts;
    facts.registry = &registry;
    facts.built_in = is_built_in(registry);
    for (const auto& url : registry.upstreams) asks.push_back(upstream_ask(registry, url + "/v2/"));
    subject.network.upstreams.push_back(std::move(facts));
  }
  auto replies = subject.system.fetch(asks, kAskTimeout);
  std::size_t next = 0;
  for (auto& facts : subject.network.upstreams) {
    for (std::size_t i = 0; i < facts.registry->upstreams.size(); ++i) facts.urls.push_back(std::move(replies[next++]));
  }
  ask_token_services(subject);
  ask_with_credentials(subject);
}

void gather_peers(Subject& subject) {
  if (!config::has_peers(subject.config)) return;
  const auto self = self_member(subject.config);
  auto known = known_peers(subject);
  std::erase_if(known, [&](const Named& one) {
    return one.name == self.name || std::ranges::find(self.addresses, one.address) != self.addresses.end() ||
           one.address == subject.config.peer.listen;
  });
  subject.network.peers_known = known.size();
  const auto& tls = subject.config.peer.tls;
  std::vector<HttpAsk> asks;
  const auto asked = std::min(known.size(), kMaxPeersAsked);
  for (std::size_t i = 0; i < asked; ++i) {
    const auto& peer = known[i * known.size() / asked];
    HttpAsk ask;
    // A GET tells what the peer says of itself; it does not count as a hello of ours.
    ask.url = (tls.insecure ? "http://" : "https://") + peer.address + "/p2p/v1/hello";
    if (!tls.insecure) {
      ask.ca_file = tls.ca;
      ask.certificate_file = tls.certificate;
      ask.key_file = tls.key;
      ask.any_name = true;
    }
    ask.headers = {fmt::format("{}: {}", p2p::field::kPeer, self.name)};
    asks.push_back(std::move(ask));
    subject.network.peers.push_back({peer.name, peer.address, {}});
  }
  auto replies = subject.system.fetch(asks, kAskTimeout);
  for (std::size_t i = 0; i < asked; ++i) subject.network.peers[i].reply = std::move(replies[i]);
}

}  // namespace oxbow::mirror::doctor

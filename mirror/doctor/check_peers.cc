// Peers: reached from here, held for good by the daemon, and of one mind with this node.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "mirror/doctor/checks.h"
#include "mirror/doctor/json_reading.h"
#include "mirror/ring_options.h"
#include "p2p/protocol/messages.h"

namespace oxbow::mirror::doctor {
namespace {

using Stage = HttpReply::Stage;

std::string name_of(const PeerFacts& peer) {
  return peer.name.empty() ? peer.address : fmt::format("{} ({})", peer.name, peer.address);
}

/// The same trouble of many peers is one finding.
struct Trouble {
  std::string what, meaning, fix;
  auto operator<=>(const Trouble&) const = default;
};

/// After a handshake of TLS 1.3 the other side's refusal comes with its first answer.
bool is_tls_refusal(const HttpReply& reply) {
  return reply.stage == Stage::kSecured && (reply.error.contains("alert") || reply.error.contains("SSL"));
}

std::string message_in(const HttpReply& reply) {
  const auto parsed = nlohmann::json::parse(reply.body, nullptr, false);
  const auto& errors = list_at(parsed, {"errors"});
  return errors.empty() ? std::string() : text_at(errors.front(), {"message"});
}

Trouble trouble_of(const Subject& subject, const HttpReply& reply) {
  const std::string alone = "What only they have stored is fetched from the registry again.";
  if (reply.stage == Stage::kNothing)
    return {"name not found", alone, "correct the address in the list of peers; getent hosts NAME"};
  if (reply.stage == Stage::kResolved) {
    return {"no connection", alone,
            "on that node: systemctl status oxbow; is its peer.listen open in the firewall between the nodes?"};
  }
  if (reply.stage == Stage::kConnected || is_tls_refusal(reply)) {
    if (reply.error.contains("wrong version number"))
      return {"it speaks no TLS", alone, "peer.tls must be the same on all nodes: there peer.tls.insecure is set"};
    return {"TLS: " + reply.error, alone,
            fmt::format("oxbow doctor --only certificates, here and there: both need a certificate of the CA {}",
                        subject.config.peer.tls.ca)};
  }
  if (reply.stage == Stage::kSecured)
    return {"no answer", alone, "on that node: oxbow doctor; journalctl -u oxbow -n 50"};
  if (reply.status == 403)
    return {"it refuses this node: " + message_in(reply), alone, "oxbow ca list DIR; revoked names: oxbow ca readmit"};
  if (reply.status != 200)
    return {fmt::format("it answers {}", reply.status), alone, "is another program at that address? ss -ltnp there"};
  return {"what answers there is not Oxbow", alone, "is another program at that address? ss -ltnp there"};
}

/// Peers whose settings differ from this node's, by what differs.
using Differences = std::map<Trouble, std::vector<std::string>>;

/// What this node works with: as the running daemon says, for the cluster may have settings of its own.
struct Settings {
  std::string strategy;
  std::uint32_t replicas;
  explicit Settings(const Subject& subject)
      : strategy(p2p::to_string(strategy_kind(subject.config.routing.strategy))),
        replicas(subject.config.routing.replicas) {
    const auto& running = subject.daemon.peers_json;
    const auto runs = text_at(running, {"strategy"});
    if (runs.empty()) return;
    strategy = runs;
    replicas = static_cast<std::uint32_t>(number_at(running, {"replicas"}).value_or(replicas));
  }
};

void compare(const Subject& subject, const PeerFacts& peer, const p2p::Hello& hello, Differences& out) {
  const auto [strategy, replicas] = Settings(subject);
  const auto who = hello.facts.name;
  if (!hello.strategy.empty() && hello.strategy != strategy) {
    out[{fmt::format("routing.strategy is {} there, {} here", hello.strategy, strategy),
         "Both work together, and fetch more than they need to.", "make routing.strategy the same on all nodes"}]
        .push_back(who);
  }
  if (hello.replicas != replicas) {
    out[{fmt::format("routing.replicas is {} there, {} here", hello.replicas, replicas),
         "They disagree about who owns what: more comes from the registry.",
         "make routing.replicas the same on all nodes"}]
        .push_back(who);
  }
  if (hello.version != subject.options.version) {
    out[{fmt::format("version {} there, {} here", hello.version, subject.options.version),
         "Neighbouring versions work together; a rollout should come to its end.", "upgrade the older ones"}]
        .push_back(who);
  }
  if (!peer.name.empty() && peer.name != hello.facts.name) {
    out[{fmt::format("{} answers at the address of {}", who, peer.name),
         "The list of peers is old, or two nodes share an address.", "correct the list of peers"}]
        .push_back(peer.address);
  }
}

void look_at_table(const Subject& subject, Findings& out) {
  const auto& table = subject.daemon.peers_json;
  if (const auto trouble = text_at(table, {"trouble"}); !trouble.empty()) {
    out.warn("peers.membership", "the list of peers is old: " + trouble,
             "Nodes that came since are not used, and those that left are still tried.",
             "see what provides it ([membership] in oxbow.toml): is it up, and reached from here?");
  }
  std::map<std::string, std::vector<std::string>> by_state;
  for (const auto& peer : list_at(table, {"peers"})) {
    if (!is_true(peer, {"self"})) by_state[text_at(peer, {"state"})].push_back(text_at(peer, {"name"}));
  }
  struct Known {
    const char* state;
    const char* meaning;
    const char* fix;
  };
  constexpr Known kKnown[] = {
      {"silent", "No contact within three probes: they are down, or the network between is.",
       "on those nodes: systemctl status oxbow"},
      {"suspended", "They sent bytes that do not match their digest; they are left alone for ten minutes or more.",
       "on those nodes check disk and memory: oxbow doctor; oxbow cache scrub; dmesg"},
      {"revoked", "Their certificates are on the list of the revoked.",
       "if they belong here: oxbow ca readmit DIR NAME; oxbow ca renew DIR NAME"},
      {"circuit_open", "Requests to them failed in a row; they are tried again soon.", "on those nodes: oxbow doctor"},
      {"incompatible", "They have no version of the peer protocol in common with this node.",
       "upgrade the older side: one version at a time"},
  };
  for (const auto& known : kKnown) {
    const auto found = by_state.find(known.state);
    if (found == by_state.end()) continue;
    out.warn(fmt::format("peers.{}", known.state),
             fmt::format("the daemon does not use {} ({}): {}",
                         found->second.size() == 1 ? "one peer" : fmt::format("{} peers", found->second.size()),
                         known.state, joined(found->second)),
             known.meaning, known.fix);
  }
}

}  // namespace

void check_peers(const Subject& subject, Findings& out) {
  if (!config::has_peers(subject.config))
    return out.ok("peers.none", "this node has none: peer.listen is empty, or routing.strategy is single");
  const auto& network = subject.network;
  if (!network.peers_unknown.empty())
    out.skipped("peers.unknown", "the list of peers: " + network.peers_unknown);
  else if (network.peers_known == 0)
    out.warn("peers.alone", "membership names no other peer", "Every byte comes from the registry.",
             "see [membership] in oxbow.toml and docs/peers.md");
  std::map<Trouble, std::vector<std::string>> troubles;
  Differences differences;
  std::size_t good = 0;
  for (const auto& peer : network.peers) {
    const auto hello =
        peer.reply.status == 200 ? p2p::parse_hello(peer.reply.body) : fail(Errc::kUnavailable, "no answer");
    if (!hello) {
      troubles[trouble_of(subject, peer.reply)].push_back(name_of(peer));
      continue;
    }
    ++good;
    compare(subject, peer, *hello, differences);
  }
  const bool many = 2 * good <= network.peers.size();
  for (const auto& [trouble, who] : troubles) {
    const auto text =
        fmt::format("{} of {} peers: {}: {}", who.size(), network.peers.size(), trouble.what, joined(who));
    if (many)
      out.fail("peers.unreached", text, trouble.meaning, trouble.fix);
    else
      out.warn("peers.unreached", text, trouble.meaning, trouble.fix);
  }
  for (const auto& [difference, who] : differences)
    out.warn("peers.differ", fmt::format("{}: {}", difference.what, joined(who)), difference.meaning, difference.fix);
  if (good > 0) {
    out.ok("peers.reached",
           network.peers_known > network.peers.size()
               ? fmt::format("{} of {} asked, of {} peers, answer", good, network.peers.size(), network.peers_known)
               : fmt::format("{} of {} peers answer", good, network.peers.size()));
  }
  look_at_table(subject, out);
}

}  // namespace oxbow::mirror::doctor

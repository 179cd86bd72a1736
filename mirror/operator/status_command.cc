#include "mirror/operator/status_command.h"
#include "core/bounded_json.h"
#include "core/encoding.h"
#include "mirror/operator/answer_values.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

namespace oxbow::mirror {
namespace {

constexpr const char* kStatusFooter = R"(
What the numbers mean; all of them count since the daemon started:
  served    bytes given to clients, by where they were when the client came, or came from afterwards
  moved     bytes over the network: from upstream, from peers, to peers
  saved     bytes that clients got beyond what crossed the upstream link
  registry  ok: asked as usual; one address fails: it is left alone for a while; fails: all of them are
The exit code is 1 when something is wrong: not ready, storage not writable, or a registry that is left alone. A script
may ask
  oxbow status --json | jq .upstream_avoided_bytes
Where a single pull came from: oxbow trace. What is wrong with the set-up: oxbow doctor. More: docs/operations.md
)";

constexpr const char* kPeersFooter = R"(
* is this node. States:
  eligible      may be asked for bytes
  draining      says that it is going
  silent        has not answered for three probes: down, or a firewall
  circuit_open  failed several times in a row; asked again within 30 s
  suspended     sent bytes that were wrong; left out for 10 minutes and longer
  revoked       its certificate is on the revoked list
  incompatible  speaks another version of the protocol
SHARE is the part of all keys that a peer owns first; LATENCY and GOODPUT are what this node has seen; LOAD is the peer's
upload slots in use, of how many, and +N requests that wait for one.
The exit code is 1 when the provider of membership is in trouble, or when there are peers and none is eligible.
  oxbow peers --troubled
More: docs/peers.md
)";

std::string join(const nlohmann::ordered_json& texts, const char* between) {
  std::string out;
  for (const auto& text : texts) {
    if (text.is_string()) out += (out.empty() ? "" : between) + text.get<std::string>();
  }
  return out;
}

std::string count_of(std::uint64_t count, const char* one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string line(const char* what, const std::string& text) {
  return fmt::format("  {:<9} {}\n", what, printable(text));
}

std::string storage_line(const nlohmann::ordered_json& storage) {
  const auto stored = bytes_at(storage, "stored_bytes"), budget = bytes_at(storage, "budget_bytes");
  const auto pinned = bytes_at(storage, "pinned_bytes");
  std::string text = fmt::format("{} of {}", format_bytes(stored), format_bytes(budget));
  if (budget > 0) text += fmt::format(" ({:.0f} %)", 100.0 * static_cast<double>(stored) / static_cast<double>(budget));
  text += ", " + count_of(bytes_at(storage, "blobs"), "blob");
  if (pinned > 0) text += ", " + format_bytes(pinned) + " pinned";
  text += fmt::format("; the disk has {} free, {} are left alone", format_bytes(bytes_at(storage, "free_bytes")),
                      format_bytes(bytes_at(storage, "floor_bytes")));
  return text;
}

std::string peers_line(const nlohmann::ordered_json& peers) {
  std::string text = count_of(bytes_at(peers, "total"), "other");
  for (const auto& [state, count] : part_at(peers, "by_state").items())
    text += fmt::format(", {} {}", count.is_number() ? count.get<std::uint64_t>() : 0, state);
  return text;
}

std::string painted_troubles(const std::vector<std::string>& troubles, const Terminal& terminal) {
  std::string out;
  for (const auto& trouble : troubles) out += painted(terminal, Colour::kRed, "wrong: " + printable(trouble)) + "\n";
  return out.empty() ? out : "\n" + out;
}

/// Of a registry's circuit breakers.
std::string words_of(std::string_view state) {
  if (state == "closed") return "ok";
  if (state == "partly_open") return "one address fails";
  return state == "open" ? "fails" : std::string(state);
}

std::string registries_table(const nlohmann::ordered_json& registries, const Terminal& terminal) {
  Table table({{"REGISTRY"},
               {"CREDENTIALS"},
               {"FROM UPSTREAM", Table::Align::kRight},
               {"STATE"},
               {"LAST ERROR", Table::Align::kLeft, true}});
  std::size_t silent = 0;
  for (const auto& registry : registries) {
    const bool asked = bytes_at(registry, "upstream_bytes") > 0 || !string_at(registry, "last_error").empty();
    if (!asked && string_at(registry, "state") == "closed") {
      ++silent;
      continue;
    }
    table.row({string_at(registry, "name"), string_at(registry, "credentials"),
               format_bytes(bytes_at(registry, "upstream_bytes")), words_of(string_at(registry, "state")),
               string_at(registry, "last_error")});
  }
  std::string out = table.empty() ? "" : "\n" + table.text(terminal);
  if (silent > 0) out += fmt::format("\nregistries that are configured and have sent nothing yet: {}\n", silent);
  return out;
}

}  // namespace

std::vector<std::string> status_troubles(const nlohmann::ordered_json& status) {
  std::vector<std::string> out;
  if (!flag_at(status, "ready")) out.emplace_back("the daemon is not ready: it starts or stops");
  const auto& storage = part_at(status, "storage");
  if (!flag_at(storage, "writable"))
    out.emplace_back("storage cannot be written, so that nothing is kept: look at the disk of storage.directory");
  for (const auto& registry : part_at(status, "registries")) {
    if (string_at(registry, "state") != "open") continue;
    const auto why = string_at(registry, "last_error");
    out.push_back(fmt::format("{} fails and is asked only now and then{}{}", string_at(registry, "name"),
                              why.empty() ? "" : ": ", why));
  }
  return out;
}

std::string status_text(const nlohmann::ordered_json& status, const Terminal& terminal) {
  const auto& served = part_at(status, "served");
  const auto& moved = part_at(status, "transfers");
  const auto& process = part_at(status, "process");
  const std::chrono::seconds uptime(static_cast<std::int64_t>(number_at(status, "uptime_seconds")));
  const auto location = join(part_at(status, "location"), "/");
  std::string out = printable(fmt::format("oxbow {} on {}{}", string_at(status, "version"), string_at(status, "node"),
                                          location.empty() ? "" : " in " + location)) +
                    ", " +
                    (flag_at(status, "ready") ? painted(terminal, Colour::kGreen, "ready")
                                              : painted(terminal, Colour::kRed, "not ready")) +
                    ", up " + human_duration(uptime) + "\n\n";
  out += line("storage", storage_line(part_at(status, "storage")));
  out += line(
      "served",
      fmt::format("{} from storage, {} from peers, {} from upstream", format_bytes(bytes_at(served, "storage_bytes")),
                  format_bytes(bytes_at(served, "peer_bytes")), format_bytes(bytes_at(served, "upstream_bytes"))));
  out += line(
      "moved",
      fmt::format("{} from upstream, {} from peers, {} to peers", format_bytes(bytes_at(moved, "upstream_in_bytes")),
                  format_bytes(bytes_at(moved, "peer_in_bytes")), format_bytes(bytes_at(moved, "peer_out_bytes"))));
  out += line("saved", format_bytes(bytes_at(status, "upstream_avoided_bytes")) + " of upstream traffic");
  out += line("pulls", fmt::format("{} running", bytes_at(status, "pulls_running")));
  out += line("peers", part_at(status, "peers").is_object() ? peers_line(part_at(status, "peers"))
                                                            : "none: no ring is configured");
  out += line("process", fmt::format("{} of memory, {}", format_bytes(bytes_at(process, "rss_bytes")),
                                     count_of(bytes_at(process, "open_files"), "open file")));
  return out + registries_table(part_at(status, "registries"), terminal) +
         painted_troubles(status_troubles(status), terminal);
}

std::vector<std::string> peers_troubles(const nlohmann::ordered_json& peers) {
  std::vector<std::string> out;
  if (const auto why = string_at(peers, "trouble"); !why.empty())
    out.push_back("the list of members is old, because its source does not answer: " + why);
  std::uint64_t others = bytes_at(peers, "unnamed"), eligible = 0;
  for (const auto& peer : part_at(peers, "peers")) {
    if (flag_at(peer, "self")) continue;
    ++others;
    if (string_at(peer, "state") == "eligible") ++eligible;
  }
  if (others > 0 && eligible == 0)
    out.emplace_back("no peer can be asked for bytes: everything comes from upstream; oxbow doctor looks into it");
  return out;
}

std::string load_text(const nlohmann::ordered_json& peer) {
  const auto& load = part_at(peer, "load");
  if (!load.is_object()) return "-";
  const auto waiting = bytes_at(load, "waiting");
  const auto text = fmt::format("{}/{}", bytes_at(load, "used"), bytes_at(load, "slots"));
  return waiting > 0 ? fmt::format("{}+{}", text, waiting) : text;
}

std::string peers_text(const nlohmann::ordered_json& peers, const Terminal& terminal, bool troubled) {
  if (string_at(peers, "strategy") == "single" && string_at(peers, "membership").empty())
    return "this node has no ring: set [membership] in its configuration (docs/peers.md)\n";
  std::string out =
      printable(fmt::format("strategy {}, {}, membership by {}", string_at(peers, "strategy"),
                            count_of(bytes_at(peers, "replicas"), "replica"), string_at(peers, "membership")));
  if (const auto unnamed = bytes_at(peers, "unnamed"); unnamed > 0)
    out += fmt::format(", {} not heard of yet", count_of(unnamed, "address"));
  Table table({{""},
               {"NAME"},
               {"STATE"},
               {"SHARE", Table::Align::kRight},
               {"LATENCY", Table::Align::kRight},
               {"GOODPUT", Table::Align::kRight},
               {"LOAD", Table::Align::kRight},
               {"LOCATION", Table::Align::kLeft, true},
               {"ADDRESS", Table::Align::kLeft, true}});
  for (const auto& peer : part_at(peers, "peers")) {
    const bool self = flag_at(peer, "self");
    if (troubled && (self || string_at(peer, "state") == "eligible")) continue;
    const auto latency = number_at(peer, "latency_ms"), goodput = number_at(peer, "goodput_bytes_per_second");
    table.row({self ? "*" : "", string_at(peer, "name"), string_at(peer, "state"),
               human_share(number_at(peer, "ring_share")), latency > 0 ? fmt::format("{:.1f} ms", latency) : "-",
               goodput > 0 ? human_rate(goodput) : "-", load_text(peer), join(part_at(peer, "location"), "/"),
               join(part_at(peer, "addresses"), " ")});
  }
  out += "\n";
  if (!table.empty()) out += "\n" + table.text(terminal);
  return out + painted_troubles(peers_troubles(peers), terminal);
}

StatusCommand::StatusCommand(CLI::App& parent)
    : DaemonCommand(parent, "status", "Show how the daemon of this node is and where its bytes come from") {
  app().footer(kStatusFooter);
}

Result<int> StatusCommand::ask(const ApiClient& api, const Output& output) const {
  const auto status = api.get("/api/v1/status");
  if (!status) return std::unexpected(status.error());
  if (output.json)
    output.raw(*status);
  else
    output.text(status_text(*status, output.terminal));
  return status_troubles(*status).empty() ? 0 : 1;
}

PeersCommand::PeersCommand(CLI::App& parent)
    : DaemonCommand(parent, "peers", "Show the other nodes of the ring as this one sees them") {
  app().add_flag("--troubled", troubled_, "Only those that are not eligible");
  app().footer(kPeersFooter);
}

Result<int> PeersCommand::ask(const ApiClient& api, const Output& output) const {
  const auto peers = api.get("/api/v1/peers");
  if (!peers) return std::unexpected(peers.error());
  if (output.json)
    output.raw(*peers);
  else
    output.text(peers_text(*peers, output.terminal, troubled_));
  return peers_troubles(*peers).empty() ? 0 : 1;
}

}  // namespace oxbow::mirror

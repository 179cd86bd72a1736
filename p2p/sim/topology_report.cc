#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "p2p/sim/topology.h"

namespace oxbow::p2p::sim {
namespace {

std::string label(TopologyKind kind, const TopologyOptions& options) {
  switch (kind) {
    case TopologyKind::kSingle:
      return "single server";
    case TopologyKind::kSharded:
      return fmt::format("sharded, {} servers", options.servers);
    case TopologyKind::kReplicated:
      return fmt::format("replicated, {} x {}", options.servers / options.replicas, options.replicas);
    case TopologyKind::kRing:
      return fmt::format("ring of the clients, r = {}", options.replicas);
    case TopologyKind::kRingReaders:
      return "ring, readers serve too";
  }
  return {};
}

const TopologyLoad& at(const TopologyResult& result, std::uint32_t clients, TopologyKind kind) {
  const auto found = std::ranges::find_if(
      result.loads, [&](const auto& load) { return load.clients == clients && load.kind == kind; });
  OXBOW_INVARIANT(found != result.loads.end());
  return *found;
}

std::string number(const Band& band) { return fmt::format("{:.2f}", band.mean); }

Section loads(const TopologyOptions& options, const TopologyResult& result) {
  Section section;
  section.title = "Messages, bytes, hops and work";
  const auto most = std::ranges::max(options.clients);
  const auto of = [&](TopologyKind kind) -> const TopologyLoad& { return at(result, most, kind); };
  section.says = fmt::format(
      "With {} clients at once the last of a burst waits {:.0f} steps at a single server, {:.0f} with shards, {:.0f} "
      "with replicas, {:.0f} on a ring of all clients with {} fixed holders a key, and {:.1f} where every reader "
      "serves "
      "too: fixed holders bound the hops of a request but not the work of a server, because the servers of a popular "
      "key "
      "do not grow with its readers.",
      most, of(TopologyKind::kSingle).steps.mean, of(TopologyKind::kSharded).steps.mean,
      of(TopologyKind::kReplicated).steps.mean, of(TopologyKind::kRing).steps.mean, options.replicas,
      of(TopologyKind::kRingReaders).steps.mean);
  for (const auto clients : options.clients) {
    Table table;
    table.title = fmt::format("{} clients", clients);
    table.columns = {"topology",   "messages",   "bytes / stripe", "hops mean",     "hops p99",
                     "steps mean", "steps last", "work, max",      "load max/mean", "p99/mean"};
    for (const auto kind : kTopologyKinds) {
      const auto& one = at(result, clients, kind);
      table.rows.push_back({label(kind, options), number(one.messages), number(one.bytes), number(one.hops),
                            number(one.hops_p99), number(one.steps_mean), number(one.steps), number(one.work_max),
                            number(one.skew_max), number(one.skew_p99)});
    }
    section.tables.push_back(std::move(table));
  }
  const auto plot = [&](const char* title, const char* y, Band TopologyLoad::* field) {
    Plot out{title, "clients", y, true, true, {}};
    for (const auto kind : kTopologyKinds) {
      Series series{label(kind, options), {}};
      for (const auto clients : options.clients) {
        const double value = (at(result, clients, kind).*field).mean;
        if (value > 0) series.points.emplace_back(clients, value);
      }
      out.series.push_back(std::move(series));
    }
    section.plots.push_back(std::move(out));
  };
  plot("Steps until the last of a burst is answered", "steps", &TopologyLoad::steps);
  plot("Requests in a burst for the busiest server", "requests", &TopologyLoad::work_max);
  plot("Messages of a request", "messages", &TopologyLoad::messages);
  return section;
}

Section failures(const TopologyOptions& options, const TopologyResult& result) {
  Section section;
  section.title = "What is lost";
  section.says = fmt::format(
      "As long as fewer than r = {} servers of a shard fail nothing is lost with replicas or on the ring, and a "
      "request "
      "asks a fraction of a server more. When all r fail, the replicated store loses a whole shard, the ring only the "
      "keys "
      "whose holders are exactly these; in exchange the ring has more different sets of holders, so that {} random "
      "failures hit one more often. What is lost on average is about the same. A cache fetches it again from upstream.",
      options.replicas, options.replicas);
  for (const auto servers : options.failing_servers) {
    Table table;
    table.title = fmt::format("{} servers", servers);
    table.columns = {"topology and failures", "keys lost",       "requests lost",
                     "dead asked a request",  "sets of holders", "P(any loss)"};
    for (const auto& one : result.failures) {
      if (one.servers != servers) continue;
      table.rows.push_back({fmt::format("{}, {} of a shard", to_string(one.kind), one.killed),
                            fmt::format("{:.3f} %", 100 * one.lost_keys.mean),
                            fmt::format("{:.3f} %", 100 * one.lost_requests.mean),
                            fmt::format("{:.4f}", one.dead_tries.mean), fmt::format("{:.0f}", one.holder_sets.mean),
                            fmt::format("{:.2e}", one.any_loss.mean)});
    }
    section.tables.push_back(std::move(table));
  }
  return section;
}

nlohmann::json json_of(const Band& band) { return {{"mean", band.mean}, {"p5", band.p5}, {"p95", band.p95}}; }

std::string json_of(const TopologyResult& result) {
  auto loads = nlohmann::json::array();
  for (const auto& one : result.loads) {
    loads.push_back({{"clients", one.clients},
                     {"topology", to_string(one.kind)},
                     {"messages", json_of(one.messages)},
                     {"bytes_over_stripe", json_of(one.bytes)},
                     {"hops", json_of(one.hops)},
                     {"hops_p99", json_of(one.hops_p99)},
                     {"steps", json_of(one.steps)},
                     {"steps_mean", json_of(one.steps_mean)},
                     {"work_max", json_of(one.work_max)},
                     {"skew_max", json_of(one.skew_max)},
                     {"skew_p99", json_of(one.skew_p99)}});
  }
  auto failures = nlohmann::json::array();
  for (const auto& one : result.failures) {
    failures.push_back({{"servers", one.servers},
                        {"topology", to_string(one.kind)},
                        {"killed", one.killed},
                        {"lost_keys", json_of(one.lost_keys)},
                        {"lost_requests", json_of(one.lost_requests)},
                        {"dead_asked", json_of(one.dead_tries)},
                        {"holder_sets", json_of(one.holder_sets)},
                        {"any_loss", json_of(one.any_loss)}});
  }
  return nlohmann::json{{"loads", std::move(loads)}, {"failures", std::move(failures)}}.dump();
}

}  // namespace

Report topology_report(const TopologyOptions& options, const TopologyResult& result) {
  Report report;
  report.title = "Topologies";
  report.sections = {loads(options, result), failures(options, result)};
  report.json = json_of(result);
  return report;
}

}  // namespace oxbow::p2p::sim

#include "mirror/operator/trace_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/encoding.h"
#include "mirror/operator/trace_map.h"

namespace oxbow::mirror {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr std::size_t kMapColumns = 80;  ///< where there is no terminal
constexpr std::size_t kMapIndent = 2;

struct Sums {
  std::uint64_t storage = 0;
  std::uint64_t peers = 0;
  std::uint64_t upstream = 0;
  std::uint64_t pulls = 0;
  std::map<std::string, std::uint64_t> by_peer;

  std::uint64_t all() const { return storage + peers + upstream; }
};

Sums sums_of(const TraceReport& report) {
  Sums out;
  for (const auto& blob : report.blobs) {
    if (!blob.pull) continue;
    ++out.pulls;
    out.storage += blob.pull->storage;
    out.peers += blob.pull->from_peers;
    out.upstream += blob.pull->upstream;
    for (const auto& [name, bytes] : blob.pull->peers) out.by_peer[name] += bytes;
  }
  return out;
}

std::string bytes_cell(std::uint64_t bytes) { return bytes == 0 ? "-" : format_bytes(bytes); }

std::string plural(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string state_cell(const TracedPull& pull) {
  if (pull.state != "running" || pull.stripes == 0) return pull.state;
  return fmt::format("running {} %", pull.done_stripes * 100 / pull.stripes);
}

std::string when_cell(const TracedPull& pull, std::chrono::system_clock::time_point now) {
  if (!pull.started) return "-";
  return human_duration(duration_cast<milliseconds>(now - *pull.started)) + " ago";
}

std::string took_cell(const TracedPull& pull) {
  if (!pull.started || !pull.ended || *pull.started == *pull.ended) return "-";
  return human_duration(duration_cast<milliseconds>(*pull.ended - *pull.started));
}

std::string notes_of(const TracedPull& pull) {
  std::string out;
  const auto note = [&out](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  if (pull.retries > 0) note(plural(pull.retries, "retry", "retries"));
  if (pull.hedges > 0) note(plural(pull.hedges, "hedge", "hedges"));
  if (pull.replaced > 0) note(fmt::format("{} replaced as wrong", pull.replaced));
  if (!pull.kept) note("not kept on disk");
  return out;
}

std::string blob_table(const TraceReport& report, const TraceView& view) {
  using Align = Table::Align;
  Table table({{"PULL", Align::kRight},
               {"BLOB"},
               {"WHAT"},
               {"SIZE", Align::kRight},
               {"STATE"},
               {"BEGAN"},
               {"TOOK", Align::kRight},
               {"DISK", Align::kRight},
               {"PEERS", Align::kRight},
               {"UPSTREAM", Align::kRight},
               {"NOTES", Align::kLeft, true}});
  for (const auto& blob : report.blobs) {
    const auto size = blob.pull ? std::optional(blob.pull->size_bytes) : blob.size_bytes;
    std::vector<std::string> cells = {blob.pull ? fmt::to_string(blob.pull->id) : "-", short_digest(blob.digest),
                                      blob.what, size ? format_bytes(*size) : "-"};
    if (blob.pull) {
      const auto& pull = *blob.pull;
      for (auto cell : {state_cell(pull), when_cell(pull, view.now), took_cell(pull), bytes_cell(pull.storage),
                        bytes_cell(pull.from_peers), bytes_cell(pull.upstream), notes_of(pull)})
        cells.push_back(std::move(cell));
    } else {
      cells.insert(cells.end(), {"no record", "-", "-", "-", "-", "-", ""});
    }
    table.row(std::move(cells));
  }
  return table.text(view.terminal);
}

std::string peer_table(const Sums& sums, const TraceView& view) {
  if (sums.by_peer.empty()) return "";
  std::vector<std::pair<std::string, std::uint64_t>> peers(sums.by_peer.begin(), sums.by_peer.end());
  std::ranges::sort(
      peers, [](const auto& a, const auto& b) { return std::pair(b.second, a.first) < std::pair(a.second, b.first); });
  Table table({{"PEER", Table::Align::kLeft, true}, {"SENT", Table::Align::kRight}, {"SHARE", Table::Align::kRight}});
  for (const auto& [name, bytes] : peers) {
    const auto share = static_cast<double>(bytes) / static_cast<double>(std::max<std::uint64_t>(1, sums.all()));
    table.row({name, format_bytes(bytes), human_share(share)});
  }
  return "\n" + table.text(view.terminal);
}

std::string saved_line(const Sums& sums) {
  const auto all = std::max<std::uint64_t>(1, sums.all());
  const auto saved = sums.storage + sums.peers;
  return fmt::format(
      "\n{} from disk, {} from peers, {} from upstream: {} ({}) did not cross the link to the registry.\n",
      format_bytes(sums.storage), format_bytes(sums.peers), format_bytes(sums.upstream), format_bytes(saved),
      human_share(static_cast<double>(saved) / static_cast<double>(all)));
}

std::string stripe_table(const TracedPull& pull, const TraceView& view) {
  if (pull.events.empty()) {
    if (pull.storage > 0) return "  no stripe had to be fetched\n";
    return pull.done_stripes > 0 ? "  so small that it came in one piece\n" : "  no stripe has arrived\n";
  }
  using Align = Table::Align;
  Table table({{"STRIPE", Align::kRight},
               {"ARRIVED", Align::kRight},
               {"TOOK", Align::kRight},
               {"BYTES", Align::kRight},
               {"SOURCE", Align::kLeft, true},
               {"RETRIES", Align::kRight},
               {"HEDGED"},
               {"VERIFIED BY"}});
  for (const auto& event : pull.events) {
    table.row({fmt::to_string(event.stripe), "+" + human_duration(event.at), human_duration(event.took),
               format_bytes(event.bytes), event.peer.empty() ? event.source : event.peer,
               event.retries == 0 ? "-" : fmt::to_string(event.retries), event.hedged ? "yes" : "-",
               event.verified == "none" ? "-" : event.verified});
  }
  auto text = table.text(view.terminal);
  if (pull.events_dropped > 0) text += fmt::format("({} older ones are not remembered)\n", pull.events_dropped);
  return text;
}

/// Maps with one legend; the stripes below their blob's map where they are asked for.
std::string maps(const TraceReport& report, const TraceView& view) {
  std::string out, seen;
  const auto columns = (view.terminal.width == 0 ? kMapColumns : view.terminal.width) - kMapIndent;
  for (const auto& blob : report.blobs) {
    if (!blob.pull || blob.pull->map.empty()) continue;
    const auto& pull = *blob.pull;
    if (pull.stripes == 1 && report.blobs.size() > 1 && !view.stripes) continue;
    seen += pull.map;
    const auto narrow = narrowed_map(printable(pull.map), columns);
    out += fmt::format("\n{}  {}{}\n", short_digest(blob.digest), plural(pull.stripes, "stripe", "stripes"),
                       narrow.size() < pull.stripes ? ", several a character" : "");
    out += std::string(kMapIndent, ' ') + painted_map(narrow, view.terminal) + "\n";
    if (view.stripes) out += stripe_table(pull, view);
  }
  if (seen.empty()) return out;
  return out + "\n" + map_legend(seen, view.terminal) + "\n";
}

std::string no_record(const TraceReport& report) {
  const auto missing = std::ranges::count_if(report.blobs, [](const auto& blob) { return !blob.pull; });
  if (missing == 0) return "";
  const auto missing_ones = static_cast<std::uint64_t>(missing);
  std::string out = missing_ones == report.blobs.size() ? "\nThis node has no record of a pull of it"
                                                        : fmt::format("\nOf {} this node has no record of a pull",
                                                                      plural(missing_ones, "blob", "blobs"));
  out += report.since.empty() ? ".\n" : fmt::format(" (it remembers the last ones since {}).\n", report.since);
  out +=
      "Either nobody has asked this node for it since then, or the pull is too long ago, or the client has the bytes\n"
      "itself: containerd asks only for what it has not got (`ctr -n k8s.io content ls`). To see a pull, make one:\n";
  out += report.image.empty() ? "`oxbow pull IMAGE`" : fmt::format("`oxbow pull {}`", report.image);
  return out + ", or remove the image from the client and pull it again.\n";
}

std::string errors_of(const TraceReport& report) {
  std::string out;
  for (const auto& blob : report.blobs) {
    if (blob.pull && !blob.pull->error.empty())
      out += fmt::format("\n{}: {}\n", short_digest(blob.digest), printable(blob.pull->error));
  }
  return out;
}

std::string heading(const TraceReport& report) {
  if (report.image.empty()) {
    if (report.blobs.size() != 1) return "";
    const auto& blob = report.blobs.front();
    const auto of = blob.pull && !blob.pull->repository.empty() ? " of " + printable(blob.pull->repository) : "";
    return fmt::format("{}{}\n\n", blob.digest, of);
  }
  std::uint64_t bytes = 0;
  for (const auto& blob : report.blobs) bytes += blob.size_bytes.value_or(0);
  return fmt::format("{}  {}  {}, {}\n\n", printable(report.image), report.platform,
                     plural(report.blobs.size(), "blob", "blobs"), format_bytes(bytes));
}

}  // namespace

bool has_record(const TraceReport& report) {
  return std::ranges::any_of(report.blobs, [](const auto& blob) { return blob.pull.has_value(); });
}

std::string trace_text(const TraceReport& report, const TraceView& view) {
  const auto sums = sums_of(report);
  auto out = heading(report) + blob_table(report, view);
  if (sums.pulls > 0) out += errors_of(report) + peer_table(sums, view) + saved_line(sums) + maps(report, view);
  return out + no_record(report);
}

nlohmann::ordered_json trace_json(const TraceReport& report, const std::vector<nlohmann::ordered_json>& pulls) {
  using Json = nlohmann::ordered_json;
  const auto sums = sums_of(report);
  Json out = {{"image", report.image.empty() ? Json() : Json(report.image)},
              {"platform", report.platform.empty() ? Json() : Json(report.platform)},
              {"since", report.since.empty() ? Json() : Json(report.since)},
              {"bytes", {{"storage", sums.storage}, {"peer", sums.peers}, {"upstream", sums.upstream}}},
              {"upstream_saved_bytes", sums.storage + sums.peers},
              {"peers", Json::object()},
              {"blobs", Json::array()}};
  for (const auto& [name, bytes] : sums.by_peer) out["peers"][name] = bytes;
  for (std::size_t i = 0; i < report.blobs.size(); ++i) {
    const auto& blob = report.blobs[i];
    const auto size = blob.size_bytes ? Json(*blob.size_bytes) : Json();
    out["blobs"].push_back({{"digest", blob.digest},
                            {"size_bytes", size},
                            {"what", blob.what.empty() ? Json() : Json(blob.what)},
                            {"pull", i < pulls.size() ? pulls[i] : Json()}});
  }
  return out;
}

}  // namespace oxbow::mirror

#include "mirror/operator/preheat_watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>

#include "core/bounded_json.h"
#include "core/encoding.h"
#include "mirror/operator/answer_values.h"
#include "mirror/operator/interrupt.h"
#include "mirror/operator/pull_progress.h"
#include "mirror/operator/table.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

/// More nodes than this are a summary and the ones that something is wrong with.
constexpr std::size_t kTableNodes = 24;
constexpr std::size_t kUsualWidth = 80;

Json nodes_of(const Json& preheat) {
  const auto found = preheat.find("nodes");
  return found != preheat.end() && found->is_array() ? *found : Json::array();
}

Json summary_of(const Json& preheat) {
  const auto found = preheat.find("summary");
  return found != preheat.end() && found->is_object() ? *found : Json::object();
}

bool is_over(const Json& preheat) { return string_at(preheat, "state") != "running"; }

std::string path_of(const std::string& id, std::string_view query = {}) {
  return "/api/v1/preheats/" + percent_encode(id) + std::string(query);
}

}  // namespace

Result<Json> parse_nodes(const std::string& text) {
  if (text == "all") return Json("all");
  if (text.ends_with('%')) {
    unsigned share = 0;
    const auto* end = text.data() + text.size() - 1;
    const auto [at, error] = std::from_chars(text.data(), end, share);
    if (error != std::errc() || at != end || share < 1 || share > 100)
      return fail(Errc::kInvalid, "--nodes " + text + ": a share is 1% to 100%");
    return Json(text);
  }
  Json names = Json::array();
  for (std::string_view rest = text;;) {
    const auto comma = rest.find(',');
    const auto name = trim(rest.substr(0, comma));
    if (name.empty()) return fail(Errc::kInvalid, "--nodes " + text + ": write all, a share like 25%, or NAME,NAME");
    names.push_back(std::string(name));
    if (comma == std::string_view::npos) return names;
    rest.remove_prefix(comma + 1);
  }
}

std::string preheat_line(const Json& preheat) {
  const auto summary = summary_of(preheat);
  auto text = fmt::format("{} of {} nodes done", bytes_at(summary, "done"), bytes_at(summary, "total"));
  for (const char* state : {"running", "waiting", "unreachable", "failed", "cancelled"}) {
    if (const auto count = bytes_at(summary, state); count > 0) text += fmt::format(", {} {}", count, state);
  }
  if (const auto total = bytes_at(summary, "bytes_total"); total > 0) {
    text += fmt::format(", {} of {}", format_bytes(bytes_at(summary, "bytes_done")), format_bytes(total));
  }
  return text;
}

std::string preheat_table(const Json& preheat, std::size_t width) {
  auto text = fmt::format("preheat {}  {}  {}\n{}\n", printable(string_at(preheat, "id")),
                          printable(string_at(preheat, "image")), printable(string_at(preheat, "state")),
                          preheat_line(preheat));
  const auto nodes = nodes_of(preheat);
  const bool all = nodes.size() <= kTableNodes;
  Table table({{"NODE"}, {"STATE"}, {"DONE", Table::Align::kRight}, {"OF", Table::Align::kRight}, {"ERROR", {}, true}});
  for (const auto& node : nodes) {
    if (!node.is_object()) continue;
    const auto error = string_at(node, "error");
    if (!all && error.empty()) continue;
    table.row({printable(string_at(node, "name")), printable(string_at(node, "state")),
               format_bytes(bytes_at(node, "bytes_done")), format_bytes(bytes_at(node, "bytes_total")),
               printable(error)});
  }
  if (!table.empty()) text += table.text({.width = width});
  return text;
}

int PreheatWatch::failed(const Error& error) {
  std::fprintf(options_.errors, "oxbow pull: %s\n", printable(error.what()).c_str());
  return error.code() == Errc::kInvalid ? 2 : 1;
}

int PreheatWatch::print(const Json& preheat) {
  if (options_.json)
    std::fputs((preheat.dump(2, ' ', false, Json::error_handler_t::replace) + "\n").c_str(), options_.out);
  else if (options_.quiet)
    std::fprintf(options_.out, "%s\n", printable(string_at(preheat, "state")).c_str());
  else
    std::fputs(preheat_table(preheat, Terminal::of(options_.out).width).c_str(), options_.out);
  std::fflush(options_.out);
  const auto state = string_at(preheat, "state");
  return state == "done" || state == "running" ? 0 : 1;
}

int PreheatWatch::start(const std::string& image, const Json& nodes, const std::string& platform) {
  Json body{{"image", image}, {"nodes", nodes}};
  if (!platform.empty()) body["platform"] = platform;
  const auto started = options_.api.post("/api/v1/preheats", body);
  if (!started) return failed(started.error());
  const auto id = string_at(*started, "id");
  if (id.empty()) return failed({Errc::kIo, "the daemon gives no id for the preheat"});
  if (!options_.json && !options_.quiet) {
    std::fprintf(options_.out, "preheat %s of %s\n", printable(id).c_str(), image.c_str());
    std::fflush(options_.out);
  }
  return follow(id);
}

int PreheatWatch::follow(const std::string& id) {
  Interrupt interrupt;
  const bool draws = !options_.quiet && ::isatty(::fileno(options_.errors)) != 0;
  LiveLines live(options_.errors);
  const auto every = static_cast<int>(options_.every.count());
  while (!interrupt.wait(every)) {
    auto preheat = options_.api.get(path_of(id, "?nodes=0"));
    if (!preheat) return failed(preheat.error());
    if (is_over(*preheat)) {
      live.clear();
      preheat = options_.api.get(path_of(id));
      return preheat ? print(*preheat) : failed(preheat.error());
    }
    if (!draws) continue;
    auto width = Terminal::of(options_.errors).width;
    auto line = preheat_line(*preheat);
    line.resize(std::min(line.size(), (width == 0 ? kUsualWidth : width) - 1));
    live.show({line});
  }
  live.clear();
  std::fprintf(options_.errors,
               "the preheat goes on without this command\n  oxbow pull --status %s   shows how far it is\n"
               "  oxbow pull --cancel %s   ends it\n",
               id.c_str(), id.c_str());
  return 1;
}

int PreheatWatch::show(const std::string& id) {
  const auto preheat = options_.api.get(path_of(id));
  return preheat ? print(*preheat) : failed(preheat.error());
}

int PreheatWatch::list() {
  const auto answer = options_.api.get("/api/v1/preheats");
  if (!answer) return failed(answer.error());
  if (options_.json) {
    std::fputs((answer->dump(2, ' ', false, Json::error_handler_t::replace) + "\n").c_str(), options_.out);
    return 0;
  }
  Table table({{"ID"}, {"STARTED"}, {"STATE"}, {"IMAGE", {}, true}, {"NODES"}});
  const auto found = answer->find("preheats");
  if (found != answer->end() && found->is_array()) {
    for (const auto& one : *found) {
      if (one.is_object())
        table.row({string_at(one, "id"), string_at(one, "started"), string_at(one, "state"), string_at(one, "image"),
                   preheat_line(one)});
    }
  }
  std::fputs(table.empty() ? "no preheat was started since the daemon's start\n"
                           : table.text(Terminal::of(options_.out)).c_str(),
             options_.out);
  return 0;
}

int PreheatWatch::cancel(const std::string& id) {
  const auto answer = options_.api.remove(path_of(id));
  if (!answer) return failed(answer.error());
  if (!options_.quiet) std::fprintf(options_.out, "preheat %s is cancelled; what has arrived stays\n", id.c_str());
  return 0;
}

}  // namespace oxbow::mirror

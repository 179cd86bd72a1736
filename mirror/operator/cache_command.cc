#include "mirror/operator/cache_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "core/bounded_json.h"
#include "core/digest.h"
#include "core/encoding.h"
#include "mirror/operator/answer_values.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLeastDigits = 6;
constexpr std::uint64_t kMostListed = 100'000;
constexpr std::chrono::milliseconds kLookEvery{500};

constexpr const char* kFooter = R"(
What is on disk, the largest first, and what of it a repository uses:
  oxbow cache ls
  oxbow cache ls --repository library/nginx --limit 0
What goes next when room is needed, and how to keep something or be rid of it. A digest may be shortened to its first
digits, 6 or more, as far as they are unique:
  oxbow cache evictions
  oxbow cache pin 3f57d9
  oxbow cache purge sha256:3f57d9
A blob is a layer, or another part of an image above 64 KiB. Smaller ones and manifests live in the index: they take no
room worth a list, and purge takes their digests in full.
Changing needs the daemon's socket (admin.socket): run as root or in its group.
More: docs/operations.md
)";

constexpr const char* kScrubFooter = R"(
Every stripe on disk is read and compared with its checksum; what is wrong is dropped and fetched again when somebody
wants it. The daemon does the same by itself in idle time (storage.scrub_interval). The exit code is 1 when something
was wrong. Ctrl-C leaves it running.
)";

std::string shown(const std::string& digest, bool full) { return full ? digest : short_digest(digest); }

/// The repositories, as many as a line takes.
std::string repositories_of(const Json& blob) {
  std::string out;
  for (const auto& repository : part_at(blob, "repositories")) {
    if (repository.is_string()) out += (out.empty() ? "" : " ") + repository.get<std::string>();
  }
  return out;
}

void sort_blobs(Json& blobs, const std::string& by) {
  if (by == "stored") return;  // as they come
  // Larger first, and those alike in the order of their digests.
  using Key = std::tuple<std::uint64_t, std::string, std::string>;
  const auto key_of = [&](const Json& blob) -> Key {
    return {by == "size" ? ~bytes_at(blob, "size_bytes") : 0, by == "repository" ? repositories_of(blob) : "",
            string_at(blob, "digest")};
  };
  auto& list = blobs.get_ref<Json::array_t&>();
  std::vector<std::pair<Key, Json>> keyed;
  for (auto& blob : list) {
    auto key = key_of(blob);
    keyed.emplace_back(std::move(key), std::move(blob));
  }
  std::ranges::sort(keyed, {}, &std::pair<Key, Json>::first);
  for (std::size_t i = 0; i < keyed.size(); ++i) list[i] = std::move(keyed[i].second);
}

std::string done_text(const char* what, const std::string& digest, const Json& answer) {
  const std::string verb = what;
  if (verb == "purge") return fmt::format("purged {} ({})\n", digest, format_bytes(bytes_at(answer, "stored_bytes")));
  return fmt::format("{} {}\n", verb == "pin" ? "pinned" : "unpinned", digest);
}

}  // namespace

Result<std::string> resolve_digest(const ApiClient& api, const std::string& text) {
  if (Digest::parse(text)) return text;
  const std::string prefix = text.find(':') == std::string::npos ? "sha256:" + text : text;
  const auto hex = std::string_view(prefix).substr(prefix.find(':') + 1);
  if (hex.size() < kLeastDigits || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
    return fail(Errc::kInvalid,
                fmt::format("\"{}\" is no digest: write sha256: and its hex digits, or the first {} or more "
                            "of them",
                            text, kLeastDigits));
  }
  const auto found = api.get("/api/v1/cache?limit=1&digest=" + percent_encode(prefix));
  if (!found) return std::unexpected(found.error());
  const auto total = bytes_at(*found, "total");
  if (total == 0)
    return fail(Errc::kNotFound, fmt::format("no stored blob begins with {}; see oxbow cache ls", prefix));
  if (total > 1)
    return fail(Errc::kBusy, fmt::format("{} stored blobs begin with {}: write more digits", total, prefix));
  return string_at(part_at(*found, "blobs").front(), "digest");
}

std::string cache_text(const Json& cache, const Terminal& terminal, bool full) {
  Table table({{"DIGEST"},
               {"SIZE", Table::Align::kRight},
               {"STORED", Table::Align::kRight},
               {"STATE"},
               {"REPOSITORIES", Table::Align::kLeft, true}});
  const auto& blobs = part_at(cache, "blobs");
  for (const auto& blob : blobs) {
    std::string state = string_at(blob, "state");
    if (flag_at(blob, "pinned")) state += ", pinned";
    if (flag_at(blob, "running")) state += ", being pulled";
    table.row({shown(string_at(blob, "digest"), full), format_bytes(bytes_at(blob, "size_bytes")),
               format_bytes(bytes_at(blob, "stored_bytes")), state, repositories_of(blob)});
  }
  if (table.empty()) return "no blob is stored that fits\n";
  std::string out = table.text(terminal);
  if (const auto total = bytes_at(cache, "total"); total > blobs.size())
    out += fmt::format("{} of {} blobs; --limit 0 shows all\n", blobs.size(), total);
  return out;
}

std::string evictions_text(const Json& answer, const Terminal& terminal, bool full) {
  Table table({{"NEXT", Table::Align::kRight},
               {"DIGEST"},
               {"FREES", Table::Align::kRight},
               {"TOGETHER", Table::Align::kRight}});
  std::uint64_t number = 0, together = 0;
  for (const auto& eviction : part_at(answer, "evictions")) {
    const auto bytes = bytes_at(eviction, "stored_bytes");
    together += bytes;
    table.row({std::to_string(++number), shown(string_at(eviction, "digest"), full), format_bytes(bytes),
               format_bytes(together)});
  }
  return table.empty() ? "nothing can be evicted: nothing is stored, or all of it is pinned or in use\n"
                       : table.text(terminal);
}

std::string scrub_text(const Json& report) {
  const auto corrupt = bytes_at(report, "corrupt");
  std::string out = fmt::format("{}: {} stripes, {} read, {}", string_at(report, "state"), bytes_at(report, "stripes"),
                                format_bytes(bytes_at(report, "bytes")), corrupt == 0 ? "nothing wrong" : "");
  if (corrupt > 0) out += fmt::format("{} wrong and dropped: the disk may be failing", corrupt);
  return out + "\n";
}

CacheCommand::CacheCommand(CLI::App& parent)
    : DaemonCommand(parent, "cache", "List, pin, unpin, purge and check what this node has stored") {
  app().require_subcommand(1);
  list_ = add("ls", "List the stored blobs");
  list_->add_option("--registry", registry_, "Only those of this registry, e.g. docker.io");
  list_->add_option("--repository", repository_, "Only those of this repository, e.g. library/nginx");
  list_->add_option("--sort", sort_, "stored (bytes on disk, largest first), size, digest or repository")
      ->check(CLI::IsMember({"stored", "size", "digest", "repository"}))
      ->capture_default_str();
  list_->add_option("--limit", limit_, "At most so many, the largest; 0: all")->capture_default_str();
  evictions_ = add("evictions", "Show what would be evicted next, in that order, if room were needed now");
  evictions_->add_option("--limit", evictions_limit_, "At most so many")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{10'000}))
      ->capture_default_str();
  for (auto* listing : {list_, evictions_}) listing->add_flag("--full", full_, "Digests in full length");
  pin_ = add_change("pin", "Keep blobs whatever else needs room, until they are unpinned");
  unpin_ = add_change("unpin", "Let pinned blobs be evicted again");
  purge_ = add_change("purge", "Remove blobs from this node; they are fetched again when somebody wants them");
  scrub_ = add("scrub", "Read everything that is stored and compare it with its checksums, now");
  scrub_->add_flag("--detach", detach_, "Only begin it; ask again with curl or on the web page how far it is");
  scrub_->footer(kScrubFooter);
  app().footer(kFooter);  // last, or each of them would have it too
}

CLI::App* CacheCommand::add(const char* name, const char* help) {
  auto* command = app().add_subcommand(name, help);
  command->fallthrough();  // --admin, --json and the configuration may stand behind it
  return command;
}

CLI::App* CacheCommand::add_change(const char* name, const char* help) {
  auto* command = add(name, help);
  command->add_option("DIGEST", digests_, "The digests, or their first 6 or more digits")->required();
  return command;
}

Result<int> CacheCommand::ask(const ApiClient& api, const Output& output) const {
  if (list_->parsed()) return list(api, output);
  if (evictions_->parsed()) return evictions(api, output);
  if (pin_->parsed()) return change(api, output, "pin");
  if (unpin_->parsed()) return change(api, output, "unpin");
  if (purge_->parsed()) return change(api, output, "purge");
  return scrub(api, output);
}

Result<int> CacheCommand::list(const ApiClient& api, const Output& output) const {
  auto cache = api.get(fmt::format("/api/v1/cache?limit={}&registry={}&repository={}",
                                   limit_ == 0 ? kMostListed : std::min(limit_, kMostListed), percent_encode(registry_),
                                   percent_encode(repository_)));
  if (!cache) return std::unexpected(cache.error());
  if (cache->contains("blobs") && cache->at("blobs").is_array()) sort_blobs(cache->at("blobs"), sort_);
  if (output.json)
    output.raw(*cache);
  else
    output.text(cache_text(*cache, output.terminal, full_));
  return 0;
}

Result<int> CacheCommand::evictions(const ApiClient& api, const Output& output) const {
  const auto answer = api.get(fmt::format("/api/v1/cache/evictions?limit={}", evictions_limit_));
  if (!answer) return std::unexpected(answer.error());
  if (output.json)
    output.raw(*answer);
  else
    output.text(evictions_text(*answer, output.terminal, full_));
  return 0;
}

/// All are resolved before the first is changed: a typing error in the second must not leave half of it done.
Result<int> CacheCommand::change(const ApiClient& api, const Output& output, const char* what) const {
  std::vector<std::string> digests;
  for (const auto& text : digests_) {
    auto digest = resolve_digest(api, text);
    if (!digest) return std::unexpected(std::move(digest.error()));
    digests.push_back(std::move(*digest));
  }
  Json all = Json::array();
  for (const auto& digest : digests) {
    auto answer = api.post(std::string("/api/v1/cache/") + what, Json{{"digest", digest}});
    if (!answer) return std::unexpected(std::move(answer.error()));
    if (!output.json) output.text(done_text(what, digest, *answer));
    all.push_back(std::move(*answer));
  }
  if (output.json) output.raw(all);
  return 0;
}

Result<int> CacheCommand::scrub(const ApiClient& api, const Output& output) const {
  auto report = api.post("/api/v1/cache/scrub", Json::object());
  const bool shows_progress = !output.json && output.terminal.width > 0;
  while (report && !detach_ && string_at(*report, "state") == "running") {
    if (shows_progress) {
      output.text(fmt::format("\r{} of {} read", format_bytes(bytes_at(*report, "bytes")),
                              format_bytes(bytes_at(*report, "total_bytes"))));
      std::fflush(output.out);
    }
    std::this_thread::sleep_for(kLookEvery);
    report = api.get("/api/v1/cache/scrub");
  }
  if (shows_progress) output.text("\r\x1b[K");
  if (!report) return std::unexpected(std::move(report.error()));
  if (output.json)
    output.raw(*report);
  else
    output.text(scrub_text(*report));
  return bytes_at(*report, "corrupt") == 0 && string_at(*report, "state") != "stopped" ? 0 : 1;
}

}  // namespace oxbow::mirror

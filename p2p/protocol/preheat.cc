#include "p2p/protocol/preheat.h"

#include <algorithm>
#include <array>

#include "p2p/protocol/fields.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxDigestBytes = 256;
constexpr std::size_t kMaxNameBytes = 255;  // registry and repository, as the distribution spec bounds them
constexpr std::size_t kMaxPlatformBytes = 128;
constexpr std::size_t kMaxErrorBytes = 4UL * kMaxPreheatError;
/// What a sum of sizes may be: a double still counts it exactly.
constexpr std::uint64_t kMaxBytes = 1ULL << 53;

constexpr std::array kStates{PreheatState::kWaiting, PreheatState::kRunning, PreheatState::kDone, PreheatState::kFailed,
                             PreheatState::kCancelled};

void require_id(Fields& fields, const std::string& id) {
  if (!is_preheat_id(id)) fields.refuse(Errc::kInvalid, "id", "1 to 64 letters, digits and hyphens are wanted");
}

}  // namespace

bool is_preheat_id(std::string_view text) noexcept {
  return !text.empty() && text.size() <= kMaxPreheatId &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

std::string_view to_string(PreheatState state) noexcept {
  switch (state) {
    case PreheatState::kWaiting:
      return "waiting";
    case PreheatState::kRunning:
      return "running";
    case PreheatState::kDone:
      return "done";
    case PreheatState::kFailed:
      return "failed";
    case PreheatState::kCancelled:
      return "cancelled";
  }
  std::unreachable();
}

std::string to_json(const PreheatAsk& ask) {
  Json json{
      {"id", ask.id}, {"registry", ask.registry}, {"repository", ask.repository}, {"digest", ask.digest.to_string()}};
  if (!ask.platform.empty()) json["platform"] = ask.platform;
  return dump(json);
}

Result<PreheatAsk> parse_preheat_ask(std::string_view json) {
  const auto message = parse_message(json, kMaxPreheatBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  auto digest = Digest::parse(fields.text("digest", kMaxDigestBytes));
  if (!digest) return std::unexpected(std::move(digest.error()).in("digest"));
  PreheatAsk ask{.id = fields.text("id", kMaxPreheatId),
                 .registry = fields.text("registry", kMaxNameBytes),
                 .repository = fields.text("repository", kMaxNameBytes),
                 .digest = *digest,
                 .platform = fields.text("platform", kMaxPlatformBytes)};
  require_id(fields, ask.id);
  if (ask.registry.empty()) fields.refuse(Errc::kInvalid, "registry", "is missing");
  if (ask.repository.empty()) fields.refuse(Errc::kInvalid, "repository", "is missing");
  return fields.finish(std::move(ask));
}

std::string to_json(const PreheatReport& report) {
  Json json{{"id", report.id},
            {"state", to_string(report.state)},
            {"bytes_done", std::min(report.bytes_done, kMaxBytes)},
            {"bytes_total", std::min(report.bytes_total, kMaxBytes)}};
  if (!report.error.empty()) json["error"] = report.error.substr(0, kMaxPreheatError);
  return dump(json);
}

Result<PreheatReport> parse_preheat_report(std::string_view json) {
  const auto message = parse_message(json, kMaxPreheatBytes);
  if (!message) return std::unexpected(message.error());
  Fields fields(*message);
  PreheatReport report{.id = fields.text("id", kMaxPreheatId),
                       .bytes_done = fields.number("bytes_done", kMaxBytes),
                       .bytes_total = fields.number("bytes_total", kMaxBytes),
                       .error = fields.text("error", kMaxErrorBytes)};
  require_id(fields, report.id);
  const auto state = fields.text("state", kMaxPreheatId);
  const auto found = std::ranges::find_if(kStates, [&](PreheatState one) { return to_string(one) == state; });
  if (found == kStates.end())
    fields.refuse(Errc::kInvalid, "state", "not one of those of this version");
  else
    report.state = *found;
  return fields.finish(std::move(report));
}

}  // namespace oxbow::p2p

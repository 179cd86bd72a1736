#include "mirror/operator/pull_sources.h"

#include <nlohmann/json.hpp>

#include "core/bounded_json.h"
#include "mirror/admin/api_answer.h"
#include "mirror/operator/answer_values.h"

namespace oxbow::mirror {
namespace {

constexpr std::chrono::milliseconds kTimeout{1'000};
/// So much of a record is looked at before now: the daemon's clock is this machine's.
constexpr std::chrono::milliseconds kSlack{5};

}  // namespace

std::optional<SourceBytes> sources_of_pull(const nlohmann::ordered_json& pull, std::uint64_t size,
                                           const std::string& since) {
  if (!pull.is_object()) return std::nullopt;
  const auto bytes = pull.find("bytes");
  if (bytes == pull.end() || !bytes->is_object()) return std::nullopt;
  const auto ended = string_at(pull, "ended");
  if (!ended.empty() && ended < since) return SourceBytes{.storage = size, .peer = 0, .upstream = 0};
  return SourceBytes{bytes_at(*bytes, "storage"), bytes_at(*bytes, "peer"), bytes_at(*bytes, "upstream")};
}

AskSources ask_daemon(AdminAddress address) {
  if (address.socket.empty() && address.url.empty()) return {};
  return [client = std::make_shared<ApiClient>(std::move(address), kTimeout), silent = std::make_shared<bool>(false)](
             const registry_api::ImageBlob& blob,
             std::chrono::system_clock::time_point since) -> std::optional<SourceBytes> {
    if (*silent) return std::nullopt;
    const auto pull = client->get("/api/v1/pulls/" + blob.digest.to_string());
    if (!pull) {
      *silent = pull.error().code() != Errc::kNotFound;
      return std::nullopt;
    }
    return sources_of_pull(*pull, blob.size.value_or(0), api_time(since - kSlack));
  };
}

}  // namespace oxbow::mirror

#include "mirror/operator/image_layers.h"

#include <algorithm>

#include "core/encoding.h"
#include "mirror/operator/blob_download.h"

namespace oxbow::mirror {
namespace {

constexpr std::string_view kAccept =
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";
/// Without rights, with anonymous ones or the caller's.
constexpr int kRefusals = 2;

HttpAsk ask_for(const ImageQuestion& question, const std::string& reference, const PullAccess& access) {
  HttpAsk ask;
  ask.url = question.access.mirror.url + "/v2/" + question.image.repository + "/manifests/" + reference +
            "?ns=" + percent_encode(question.image.registry);
  ask.pinned_key = question.access.mirror.pinned_key;
  ask.headers.add("User-Agent", question.user_agent);
  ask.headers.add("Accept", std::string(kAccept));
  if (!access.authorization().empty()) ask.headers.add("Authorization", access.authorization());
  return ask;
}

Result<HttpRunner::Whole> manifest(const ImageQuestion& question, const std::string& reference, PullAccess& access,
                                   HttpRunner& http) {
  for (int refused = 0;; ++refused) {
    const auto sent = access.authorization();
    auto answer = http.whole(ask_for(question, reference, access));
    if (answer && answer->head.status == 200) access.worked(sent);
    if (!answer || answer->head.status == 200) return answer;
    if (answer->head.status == 401 && refused < kRefusals) {
      const auto again = access.answer(registry_api::parse_challenges(answer->head.headers), sent);
      if (!again) return std::unexpected(again.error());
      if (*again) continue;
    }
    return std::unexpected(mirror_error(answer->head.status, answer->body));
  }
}

}  // namespace

bool registry_is_https(const config::Config& config, const std::string& registry) {
  const auto known = std::ranges::find_if(config.registries, [&](const config::Registry& one) {
    return one.name == registry || std::ranges::find(one.aliases, registry) != one.aliases.end();
  });
  return known == config.registries.end() || known->upstreams.empty() ||
         known->upstreams.front().starts_with("https://");
}

Result<std::vector<registry_api::ImageBlob>> image_layers(const ImageQuestion& question, HttpRunner& http) {
  PullAccess access(question.access, http);
  std::optional<registry_api::ImageWalk> walk;
  auto wanted = question.image.digest;
  do {
    const auto reference = wanted ? wanted->to_string() : question.image.reference();
    auto answer = manifest(question, reference, access, http);
    if (!answer) return std::unexpected(std::move(answer.error()).in("manifest " + reference));
    const auto actual =
        Digest::of(wanted ? wanted->algorithm() : Digest::Algorithm::kSha256, std::as_bytes(std::span(answer->body)));
    if (wanted && *wanted != actual)
      return fail(Errc::kCorrupt, "manifest " + reference + ": the bytes hash to " + actual.to_string());
    if (!walk) walk.emplace(actual, question.platform);
    const auto type = answer->head.headers.find("Content-Type").value_or("");
    if (auto taken = walk->take(answer->body, type); !taken)
      return std::unexpected(std::move(taken.error()).in("manifest " + reference));
    wanted = walk->next();
  } while (wanted);
  return walk->blobs();
}

}  // namespace oxbow::mirror

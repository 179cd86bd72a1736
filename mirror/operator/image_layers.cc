#include "mirror/operator/image_layers.h"

#include <algorithm>

#include "mirror/operator/blob_download.h"
#include "mirror/operator/mirror_ask.h"

namespace oxbow::mirror {
namespace {

/// Without rights, with anonymous ones or the caller's.
constexpr int kRefusals = 2;

Result<HttpRunner::Whole> manifest(const ImageQuestion& question, const std::string& reference, PullAccess& access,
                                   HttpRunner& http) {
  for (int refused = 0;; ++refused) {
    const auto sent = access.authorization();
    auto answer = http.whole(mirror_ask(question.access.mirror, question.image, MirrorPath::kManifests, reference,
                                        access, question.user_agent));
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
    const auto actual = manifest_digest(answer->body, wanted);
    if (!actual) return std::unexpected(actual.error().in("manifest " + reference));
    if (!walk) walk.emplace(*actual, question.platform);
    const auto type = answer->head.headers.find("Content-Type").value_or("");
    if (auto taken = walk->take(answer->body, type); !taken)
      return std::unexpected(std::move(taken.error()).in("manifest " + reference));
    wanted = walk->next();
  } while (wanted);
  return walk->blobs();
}

}  // namespace oxbow::mirror

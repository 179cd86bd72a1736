#include "mirror/operator/mirror_ask.h"

#include "core/encoding.h"
#include "mirror/access.h"

namespace oxbow::mirror {
HttpAsk mirror_ask(const MirrorAddress& mirror, const registry_api::ImageName& image, MirrorPath kind,
                   const std::string& reference, const PullAccess& access, const std::string& user_agent) {
  const bool manifests = kind == MirrorPath::kManifests;
  HttpAsk ask;
  ask.url = mirror.url + "/v2/" + image.repository + (manifests ? "/manifests/" : "/blobs/") + reference +
            "?ns=" + percent_encode(image.registry);
  ask.pinned_key = mirror.pinned_key;
  ask.headers.add("User-Agent", user_agent);
  if (manifests) ask.headers.add("Accept", std::string(manifest_accept()));
  if (!access.authorization().empty()) ask.headers.add("Authorization", access.authorization());
  return ask;
}

Result<Digest> manifest_digest(const std::string& body, const std::optional<Digest>& wanted) {
  const auto algorithm = wanted ? wanted->algorithm() : Digest::Algorithm::kSha256;
  auto actual = Digest::of(algorithm, std::as_bytes(std::span(body)));
  if (wanted && *wanted != actual) return fail(Errc::kCorrupt, "the bytes hash to " + actual.to_string());
  return actual;
}

}  // namespace oxbow::mirror

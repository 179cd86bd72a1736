#include "registry-api/image_walk.h"

namespace oxbow::registry_api {

Result<PlatformChoice> parse_platform_choice(std::string_view text) {
  if (text == "all") return PlatformChoice{};
  if (text.empty()) return PlatformChoice{own_platform()};
  auto platform = parse_platform(text);
  if (!platform) return std::unexpected(std::move(platform.error()));
  return PlatformChoice{std::move(*platform)};
}

ImageWalk::ImageWalk(const Digest& root, PlatformChoice choice) : choice_(std::move(choice)) {
  wanted_.push_back(root);
  seen_.insert(root);
}

std::optional<Digest> ImageWalk::next() const {
  return wanted_.empty() ? std::nullopt : std::optional(wanted_.front());
}

Result<> ImageWalk::take(std::string_view bytes, std::string_view media_type) {
  OXBOW_INVARIANT(!wanted_.empty());
  const auto manifest = parse_manifest(bytes, media_type);
  if (!manifest) return std::unexpected(manifest.error());
  if (manifest->kind == ManifestKind::kUnknown) return fail(Errc::kInvalid, "this is not the manifest of an image");
  wanted_.pop_front();
  ++manifests_;
  if (manifest->kind == ManifestKind::kIndex) return take_index(*manifest);
  if (manifest->config) {
    if (auto added = add(manifest->config->digest, manifest->config->size, true, manifest->config->media_type); !added)
      return added;
  }
  for (const auto& layer : manifest->layers) {
    if (!layer.urls.empty()) continue;
    if (auto added = add(layer.digest, layer.size, false, layer.media_type); !added) return added;
  }
  for (const auto& digest : manifest->unsized) {
    if (auto added = add(digest, std::nullopt, false, {}); !added) return added;
  }
  return {};
}

Result<> ImageWalk::take_index(const Manifest& manifest) {
  if (!choice_.platform) {
    for (const auto& child : manifest.manifests) {
      if (auto wanted = want(child.digest); !wanted) return wanted;
    }
    return {};
  }
  const Descriptor* best = nullptr;
  int best_fitness = -1;
  std::string offered;
  for (const auto& child : manifest.manifests) {
    // Without a platform it is for all of them, and one that is meant for this comes first.
    const auto fits = child.platform ? fitness(*choice_.platform, *child.platform) : std::optional(-1);
    if (child.platform && child.platform->os != "unknown")
      offered += (offered.empty() ? "" : ", ") + to_string(*child.platform);
    if (!fits || (best != nullptr && *fits <= best_fitness)) continue;
    best = &child;
    best_fitness = *fits;
  }
  if (best == nullptr) {
    return fail(Errc::kNotFound, "there is no image for " + to_string(*choice_.platform) +
                                     (offered.empty() ? std::string(" in the index") : "; there is: " + offered));
  }
  return want(best->digest);
}

Result<> ImageWalk::want(const Digest& manifest) {
  if (!seen_.insert(manifest).second) return {};
  if (manifests_ + wanted_.size() >= kMaxWalkManifests) return fail(Errc::kLimit, "the index names too many manifests");
  wanted_.push_back(manifest);
  return {};
}

Result<> ImageWalk::add(const Digest& digest, std::optional<std::uint64_t> size, bool config, std::string media_type) {
  if (!seen_.insert(digest).second) return {};
  if (blobs_.size() >= kMaxWalkBlobs) return fail(Errc::kLimit, "the image names too many blobs");
  blobs_.push_back({digest, size, config, std::move(media_type)});
  return {};
}

}  // namespace oxbow::registry_api

// From the root of an image to all that has to be fetched of it: index → manifests of a platform → config and layers.
// Says which manifest is wanted next and takes its bytes; fetches nothing itself. Thread rule: one thread at a time.
// Bounds: kMaxWalkManifests manifests, kMaxWalkBlobs blobs.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "registry-api/manifest.h"

namespace oxbow::registry_api {

inline constexpr std::size_t kMaxWalkManifests = 1'024;
inline constexpr std::size_t kMaxWalkBlobs = 16'384;

/// What of an index is meant: one platform, or everything that it names.
struct PlatformChoice {
  std::optional<Platform> platform;
};
/// `all`, a platform, or empty: this machine's. Errors: kInvalid.
Result<PlatformChoice> parse_platform_choice(std::string_view text);

struct ImageBlob {
  Digest digest;
  std::optional<std::uint64_t> size;  ///< nothing where the manifest does not say it (schema 1)
  bool config = false;
  std::string media_type = {};
};

class ImageWalk {
 public:
  ImageWalk(const Digest& root, PlatformChoice choice);

  /// The manifest that is wanted next; nothing when all are here.
  std::optional<Digest> next() const;
  /// The bytes of `next()`, verified by the caller. Errors: as parse_manifest, kNotFound (nothing for the platform;
  /// says what there is), kLimit.
  Result<> take(std::string_view bytes, std::string_view media_type);

  std::size_t manifests() const noexcept { return manifests_; }
  /// Each digest once, in the order of the manifests. Without foreign layers, which lie elsewhere.
  const std::vector<ImageBlob>& blobs() const noexcept { return blobs_; }

 private:
  Result<> take_index(const Manifest& manifest);
  Result<> want(const Digest& manifest);
  Result<> add(const Digest& digest, std::optional<std::uint64_t> size, bool config, std::string media_type);

  const PlatformChoice choice_;
  std::deque<Digest> wanted_;
  std::unordered_set<Digest, Digest::Hash> seen_;
  std::vector<ImageBlob> blobs_;
  std::size_t manifests_ = 0;
};

}  // namespace oxbow::registry_api

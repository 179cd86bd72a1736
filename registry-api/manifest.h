// What a manifest names: enough to remember sizes and repositories of digests. OCI image manifests
// and indexes, Docker schema 2 and lists, OCI artifact manifests, Docker schema 1; media-type agnostic, unknown fields
// ignored. The bytes themselves are never changed or re-encoded. Thread rule: pure function; plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/error.h"
#include "registry-api/platform.h"

namespace oxbow::registry_api {

inline constexpr std::size_t kMaxManifestBytes = 4UL * 1024 * 1024;  ///< what podman and registries take
inline constexpr std::size_t kMaxManifestDepth = 64;
inline constexpr std::size_t kMaxManifestValues = 200'000;  ///< bounds the memory of a parse to some tens of MiB

inline constexpr std::string_view kOciIndexType = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifestType = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kDockerManifestType = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerListType = "application/vnd.docker.distribution.manifest.list.v2+json";

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  std::string artifact_type;
  std::vector<std::string> urls;
  std::optional<Platform> platform = {};  ///< of an index's manifests
};

enum class ManifestKind { kImage, kIndex, kArtifact, kSchema1, kUnknown };

struct Manifest {
  ManifestKind kind = ManifestKind::kUnknown;
  std::string media_type;     ///< the field, else the type it came with, without parameters
  std::string artifact_type;  ///< the field, else config.mediaType (image-spec, "Guidelines for artifact usage")
  std::optional<Descriptor> subject;
  std::optional<Descriptor> config;
  std::vector<Descriptor> layers;     ///< layers, or the blobs of an artifact manifest
  std::vector<Descriptor> manifests;  ///< of an index
  std::vector<Digest> unsized;        ///< named without a size: schema 1 layers. Never a subject or a foreign layer
  std::size_t skipped = 0;            ///< descriptors that were left out: unknown algorithm, or no descriptor at all
  /// A registry that gives it with that type has looked for what it names, and can have read nothing else in it than we
  /// do: an image or an index, by the type that it came with and by its own field.
  bool checked = false;

  /// The descriptors that a registry has checked to be in the manifest's own repository: config and layers of an image,
  /// manifests of an index. A subject may dangle and foreign layers lie elsewhere, so neither proves that a digest
  /// belongs here; nor do artifact manifests, whose blobs not every registry looks for, and schema 1, where a
  /// registry reads what is signed.
  std::vector<const Descriptor*> contained() const;
};

/// `media_type` is the Content-Type it came with; only a hint, but for what is checked.
/// Errors: kInvalid (not a JSON object, or both an index and an image: CVE-2021-41190), kLimit (size, depth or count).
Result<Manifest> parse_manifest(std::string_view bytes, std::string_view media_type);

}  // namespace oxbow::registry_api

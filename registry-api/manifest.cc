#include "registry-api/manifest.h"

#include <nlohmann/json.hpp>

#include "core/bounded_json.h"
#include "core/encoding.h"

namespace oxbow::registry_api {
namespace {

using Json = nlohmann::ordered_json;

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

/// What a descriptor turned out to be: whole, only a digest, or nothing that we can use.
void add_descriptor(const Json& json, Manifest& manifest, std::vector<Descriptor>& into) {
  const auto digest = json.is_object() ? Digest::parse(string_at(json, "digest")) : fail(Errc::kInvalid, "no object");
  if (!digest) {
    ++manifest.skipped;
    return;
  }
  const Json* size = member(json, "size");
  if (size == nullptr || !size->is_number_unsigned()) {
    manifest.unsized.push_back(*digest);
    return;
  }
  Descriptor descriptor{string_at(json, "mediaType"),    *digest, size->get<std::uint64_t>(),
                        string_at(json, "artifactType"), {},      {}};
  if (const Json* urls = member(json, "urls"); urls != nullptr && urls->is_array()) {
    for (const auto& url : *urls) {
      if (url.is_string()) descriptor.urls.push_back(url.get<std::string>());
    }
  }
  if (const Json* platform = member(json, "platform"); platform != nullptr && platform->is_object()) {
    descriptor.platform = {string_at(*platform, "os"), string_at(*platform, "architecture"),
                           string_at(*platform, "variant")};
  }
  into.push_back(std::move(descriptor));
}

void add_list(const Json& json, const char* key, Manifest& manifest, std::vector<Descriptor>& into) {
  const Json* list = member(json, key);
  if (list == nullptr || !list->is_array()) return;
  for (const auto& descriptor : *list) add_descriptor(descriptor, manifest, into);
}

std::optional<Descriptor> single(const Json& json, const char* key, Manifest& manifest) {
  const Json* object = member(json, key);
  if (object == nullptr) return std::nullopt;
  std::vector<Descriptor> one;
  add_descriptor(*object, manifest, one);
  return one.empty() ? std::nullopt : std::optional(std::move(one.front()));
}

/// Schema 1: `fsLayers: [{blobSum}]`, without sizes.
void add_fs_layers(const Json& layers, Manifest& manifest) {
  for (const auto& layer : layers) {
    const auto digest = layer.is_object() ? Digest::parse(string_at(layer, "blobSum")) : fail(Errc::kInvalid, "");
    if (digest)
      manifest.unsized.push_back(*digest);
    else
      ++manifest.skipped;
  }
}

std::string without_parameters(std::string_view media_type) {
  return std::string(trim(media_type.substr(0, media_type.find(';'))));
}

bool is_list(const Json& json, const char* key) {
  const Json* value = member(json, key);
  return value != nullptr && value->is_array();
}

ManifestKind kind_of(const Json& json) {
  if (is_list(json, "manifests")) return ManifestKind::kIndex;
  if (is_list(json, "layers") || member(json, "config") != nullptr) return ManifestKind::kImage;
  if (is_list(json, "blobs")) return ManifestKind::kArtifact;
  if (is_list(json, "fsLayers")) return ManifestKind::kSchema1;
  return ManifestKind::kUnknown;
}

}  // namespace

std::vector<const Descriptor*> Manifest::contained() const {
  std::vector<const Descriptor*> out;
  const auto add = [&](const Descriptor& descriptor) {
    if (descriptor.urls.empty()) out.push_back(&descriptor);
  };
  if (config) add(*config);
  for (const auto& layer : layers) add(layer);
  for (const auto& child : manifests) add(child);
  return out;
}

Result<Manifest> parse_manifest(std::string_view bytes, std::string_view media_type) {
  auto parsed = parse_json_object(bytes, {kMaxManifestBytes, kMaxManifestDepth, kMaxManifestValues});
  if (!parsed) return std::unexpected(std::move(parsed.error()).in("manifest"));
  const Json& json = *parsed;
  // Two clients could read such a document as two different images under one digest.
  if (is_list(json, "manifests") && (is_list(json, "layers") || member(json, "config") != nullptr)) {
    return fail(Errc::kInvalid, "manifest: both an index and an image");
  }
  Manifest manifest;
  manifest.kind = kind_of(json);
  manifest.media_type = string_at(json, "mediaType");
  if (manifest.media_type.empty()) manifest.media_type = without_parameters(media_type);
  manifest.subject = single(json, "subject", manifest);
  manifest.config = single(json, "config", manifest);
  add_list(json, "layers", manifest, manifest.layers);
  add_list(json, "blobs", manifest, manifest.layers);
  add_list(json, "manifests", manifest, manifest.manifests);
  if (manifest.kind == ManifestKind::kSchema1) add_fs_layers(json["fsLayers"], manifest);
  manifest.artifact_type = string_at(json, "artifactType");
  if (manifest.artifact_type.empty() && manifest.config) manifest.artifact_type = manifest.config->media_type;
  return manifest;
}

}  // namespace oxbow::registry_api

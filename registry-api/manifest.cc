#include "registry-api/manifest.h"

#include <algorithm>
#include <array>
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

/// Whatever stands in the list makes the layer a foreign one to some registry, if only a null.
std::vector<std::string> urls_of(const Json& json) {
  const Json* urls = member(json, "urls");
  if (urls == nullptr) return {};
  if (!urls->is_array()) return {std::string()};
  std::vector<std::string> out;
  for (const auto& url : *urls) out.push_back(url.is_string() ? url.get<std::string>() : std::string());
  return out;
}

/// What a descriptor turned out to be: whole, only a digest, or nothing that we can use.
void add_descriptor(const Json& json, Manifest& manifest, std::vector<Descriptor>& into) {
  const auto digest = json.is_object() ? Digest::parse(string_at(json, "digest")) : fail(Errc::kInvalid, "no object");
  if (!digest) {
    ++manifest.skipped;
    return;
  }
  auto urls = urls_of(json);
  const Json* size = member(json, "size");
  if (size == nullptr || !size->is_number_unsigned()) {
    if (urls.empty())
      manifest.unsized.push_back(*digest);
    else
      ++manifest.skipped;
    return;
  }
  Descriptor descriptor{string_at(json, "mediaType"),    *digest,         size->get<std::uint64_t>(),
                        string_at(json, "artifactType"), std::move(urls), {}};
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

/// What a registry takes a manifest of this type for when it looks for what is named.
ManifestKind checked_as(std::string_view media_type) {
  if (media_type == kOciManifestType || media_type == kDockerManifestType) return ManifestKind::kImage;
  if (media_type == kOciIndexType || media_type == kDockerListType) return ManifestKind::kIndex;
  return ManifestKind::kUnknown;
}

/// Some registries go by the `urls`, some by the type.
bool is_foreign(const Descriptor& descriptor) {
  return !descriptor.urls.empty() || descriptor.media_type.contains(".foreign.") ||
         descriptor.media_type.contains(".nondistributable.");
}

/// The one letter beyond ASCII that Go takes for a letter of our keys.
std::string with_plain_s(std::string key) {
  constexpr std::string_view kLongS = "\xC5\xBF";
  for (auto at = key.find(kLongS); at != std::string::npos; at = key.find(kLongS, at)) {
    key.replace(at, kLongS.size(), "s");
  }
  return key;
}

/// Stops where another reader may find something else named than we do: Go's, which most registries use, matches keys
/// whatever their case, and merges what comes twice.
class KeyCheck final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(Json::number_integer_t) override { return true; }
  bool number_unsigned(Json::number_unsigned_t) override { return true; }
  bool number_float(Json::number_float_t, const Json::string_t&) override { return true; }
  bool string(Json::string_t&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool start_object(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

  bool key(Json::string_t& key) override {
    // The document, its config and the elements of its lists; annotations and the like have keys of their own.
    const bool document = seen_.size() == 1;
    if (!document && (!in_known_ || seen_.size() > kDepth)) return true;
    const auto spelling = with_plain_s(key);
    const auto name = std::ranges::find_if(kKeys, [&](auto known) { return iequals(known, spelling); });
    if (document) in_known_ = name != kKeys.end();
    if (name == kKeys.end()) return true;
    const auto bit = 1U << static_cast<unsigned>(name - kKeys.begin());
    const bool first = (seen_.back() & bit) == 0;
    seen_.back() |= bit;
    return first && key == *name;
  }

 private:
  static constexpr std::size_t kDepth = 3;  // document, list, element
  static constexpr std::array<std::string_view, 10> kKeys{"manifests", "layers", "config", "blobs", "fsLayers",
                                                          "blobSum",   "digest", "size",   "urls",  "mediaType"};

  bool open() {
    seen_.push_back(0);
    return true;
  }
  bool close() {
    seen_.pop_back();
    return true;
  }

  std::vector<unsigned> seen_;  ///< which of the keys, for each object or list that is open
  bool in_known_ = false;       ///< under one of the keys of the document
};

bool readers_agree(std::string_view bytes) {
  KeyCheck check;
  return Json::sax_parse(bytes, &check);
}

}  // namespace

std::vector<const Descriptor*> Manifest::contained() const {
  std::vector<const Descriptor*> out;
  if (!checked) return out;
  const auto add = [&](const Descriptor& descriptor) {
    if (!is_foreign(descriptor)) out.push_back(&descriptor);
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
  const auto given = without_parameters(media_type);
  manifest.media_type = string_at(json, "mediaType");
  if (manifest.media_type.empty()) manifest.media_type = given;
  const auto kind = manifest.kind;
  const bool known = kind == ManifestKind::kImage || kind == ManifestKind::kIndex;
  manifest.checked =
      known && checked_as(given) == kind && checked_as(manifest.media_type) == kind && readers_agree(bytes);
  manifest.subject = single(json, "subject", manifest);
  manifest.unsized.clear();  // it may dangle, so without a size it is nothing
  manifest.config = single(json, "config", manifest);
  add_list(json, "layers", manifest, manifest.layers);
  if (kind == ManifestKind::kArtifact) add_list(json, "blobs", manifest, manifest.layers);
  add_list(json, "manifests", manifest, manifest.manifests);
  if (kind == ManifestKind::kSchema1) add_fs_layers(json["fsLayers"], manifest);
  manifest.artifact_type = string_at(json, "artifactType");
  if (manifest.artifact_type.empty() && manifest.config) manifest.artifact_type = manifest.config->media_type;
  return manifest;
}

}  // namespace oxbow::registry_api

#include "registry-api/referrers.h"

#include "core/bounded_json.h"
#include "registry-api/manifest.h"

namespace oxbow::registry_api {
namespace {

Result<nlohmann::ordered_json> parse_index(std::string_view json) {
  auto index = parse_json_object(json, {kMaxManifestBytes, kMaxManifestDepth, kMaxManifestValues});
  if (!index) return std::unexpected(std::move(index.error()).in("referrers"));
  const auto manifests = index->find("manifests");
  if (manifests == index->end() || !(manifests->is_array() || manifests->is_null())) {
    return fail(Errc::kInvalid, "referrers: not an index");
  }
  if (manifests->is_null()) *manifests = nlohmann::ordered_json::array();
  return index;
}

}  // namespace

std::string empty_referrers() {
  return R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})";
}

Result<std::string> filter_referrers(std::string_view index_json, std::string_view artifact_type) {
  auto index = parse_index(index_json);
  if (!index) return std::unexpected(std::move(index.error()));
  auto kept = nlohmann::ordered_json::array();
  for (auto& descriptor : (*index)["manifests"]) {
    if (descriptor.is_object() && string_at(descriptor, "artifactType") == artifact_type) kept.push_back(descriptor);
  }
  (*index)["manifests"] = std::move(kept);
  return index->dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<> check_referrers(std::string_view index_json) {
  if (auto index = parse_index(index_json); !index) return std::unexpected(std::move(index.error()));
  return {};
}

std::string referrers_tag(std::string_view digest) {
  const auto colon = digest.find(':');
  const auto algorithm = digest.substr(0, colon).substr(0, 32);
  const auto encoded = colon == std::string_view::npos ? std::string_view{} : digest.substr(colon + 1).substr(0, 64);
  auto tag = std::string(algorithm) + "-" + std::string(encoded);
  for (char& c : tag) {
    const bool allowed =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
    if (!allowed) c = '-';
  }
  return tag;
}

}  // namespace oxbow::registry_api

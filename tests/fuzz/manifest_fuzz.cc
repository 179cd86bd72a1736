// Any bytes are refused or parsed within the limits; what is contained is part of what is named; tags that are taken
// are tags; a filtered index is an index that holds nothing of another type.
#include <cstdlib>

#include "registry-api/manifest.h"
#include "registry-api/reference.h"
#include "registry-api/referrers.h"
#include "registry-api/tags.h"

namespace api = oxbow::registry_api;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto manifest = api::parse_manifest(bytes, "application/vnd.oci.image.manifest.v1+json; charset=utf-8")) {
    const auto named = manifest->layers.size() + manifest->manifests.size() + (manifest->config ? 1 : 0);
    require(manifest->contained().size() <= named);
    require(manifest->manifests.empty() || manifest->kind == api::ManifestKind::kIndex);
    require(named + manifest->unsized.size() <= api::kMaxManifestValues);
  }
  if (const auto tags = api::parse_tags(bytes)) {
    for (const auto& tag : *tags) require(api::is_tag(tag));
  }
  if (const auto filtered = api::filter_referrers(bytes, "application/x")) {
    require(api::check_referrers(*filtered).has_value());
    const auto again = api::filter_referrers(*filtered, "application/x");
    require(again && *again == *filtered);
    const auto none = api::filter_referrers(*filtered, "application/y");
    require(none && api::parse_manifest(*none, "").has_value() ? api::parse_manifest(*none, "")->manifests.empty()
                                                               : true);
  }
  return 0;
}

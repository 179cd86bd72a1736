// The referrers API (distribution-spec, "Listing referrers") and its fallback for registries that do not have it.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow::registry_api {

/// An index without manifests: what a digest that nothing refers to gets, with 200.
std::string empty_referrers();
/// Keeps the manifests of that artifactType; everything else of the index stays. The answer then carries
/// `OCI-Filters-Applied: artifactType`. Errors: kInvalid (not an index), kLimit.
Result<std::string> filter_referrers(std::string_view index_json, std::string_view artifact_type);
/// Whether it is an index at all: some registries answer 200 with a page for people. Errors: kInvalid, kLimit.
Result<> check_referrers(std::string_view index_json);
/// The tag under which clients of such a registry keep the referrers: `<alg[:32]>-<encoded[:64]>`, other characters
/// `-`.
std::string referrers_tag(std::string_view digest);

}  // namespace oxbow::registry_api

// Which endpoint of the distribution API a path names. Names may hold the words `blobs` or `manifests` as components,
// so paths are read from the right. The grammar of name and reference is the caller's to check (reference.h), after a
// leading registry component has been taken off (namespace_choice.h). Thread rule: pure function.
#pragma once

#include <string>
#include <string_view>

namespace oxbow::registry_api {

enum class RouteKind {
  kBase,       ///< `/v2/`
  kManifest,   ///< `/v2/<name>/manifests/<reference>`
  kBlob,       ///< `/v2/<name>/blobs/<digest>`
  kTags,       ///< `/v2/<name>/tags/list`
  kReferrers,  ///< `/v2/<name>/referrers/<digest>`
  kPing,       ///< `/ping`, `/healthz`
  kUpload,     ///< `/v2/<name>/blobs/uploads/…`: known, and never served
  kCatalog,    ///< `/v2/_catalog`: known, and never served
  kUnknown,    ///< anything else, broken escapes included
};

struct Route {
  RouteKind kind = RouteKind::kUnknown;
  std::string name;       ///< between `/v2/` and the endpoint, percent-decoded
  std::string reference;  ///< tag or digest, percent-decoded; not validated
  std::string prefix;     ///< components before `/v2`, joined by '/': `docker.io` of `/docker.io/v2/…`
};

/// `raw_path` as received: percent-encoded, without the query.
Route parse_route(std::string_view raw_path);

}  // namespace oxbow::registry_api

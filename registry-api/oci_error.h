// Errors as OCI clients read them: `{"errors":[{"code","message"}]}` (distribution-spec, "Error codes").
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"
#include "core/http/handler.h"

namespace oxbow::registry_api {

enum class OciCode {
  kBlobUnknown,
  kManifestUnknown,
  kNameUnknown,  ///< the repository or registry itself; oras takes it as "no referrers API either", so not for contents
  kNameInvalid,
  kDigestInvalid,
  kManifestInvalid,
  kTagInvalid,
  kPaginationInvalid,
  kUnauthorized,
  kDenied,
  kUnsupported,
  kTooManyRequests,
  kRangeInvalid,
  kUnavailable,
  kUnknown,  ///< nothing of the above: upstream gave wrong bytes
};

std::string_view to_string(OciCode code) noexcept;

/// A whole response. `message` may hold any bytes; what is not UTF-8 is replaced.
http::Response oci_error(int status, OciCode code, std::string_view message);

/// What was asked for: it chooses between BLOB_UNKNOWN, MANIFEST_UNKNOWN and NAME_UNKNOWN, and the *_INVALID codes.
enum class Subject { kBlob, kManifest, kRepository };

struct StatusAndCode {
  int status;
  OciCode code;
};
/// Every Errc has its place here. Upstream's 429 becomes 503: containerd retries a 429 at once and without backoff.
StatusAndCode status_of(Errc code, Subject subject) noexcept;
/// For kUnauthorized the caller adds WWW-Authenticate.
http::Response oci_error_from(const Error& error, Subject subject = Subject::kBlob);

}  // namespace oxbow::registry_api

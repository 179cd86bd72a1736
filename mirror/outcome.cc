#include "mirror/outcome.h"

namespace oxbow::mirror {

bool upstream_fails(Errc code) noexcept {
  switch (code) {
    case Errc::kUnavailable:
    case Errc::kThrottled:
    case Errc::kTimeout:
    case Errc::kLimit:
    case Errc::kCorrupt:
    case Errc::kIo:
      return true;
    default:
      return false;
  }
}

http::Response to_response(const Failure& failure, registry_api::Subject subject) {
  auto response = registry_api::oci_error_from(failure.error, subject);
  if (response.status == 401) {
    for (const auto& challenge : failure.challenges) response.headers.add("WWW-Authenticate", challenge);
  }
  if (failure.retry_after && response.status == 503) {
    response.headers.add("Retry-After", std::to_string(failure.retry_after->count()));
  }
  return response;
}

}  // namespace oxbow::mirror

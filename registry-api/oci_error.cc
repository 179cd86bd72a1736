#include "registry-api/oci_error.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace oxbow::registry_api {

std::string_view to_string(OciCode code) noexcept {
  switch (code) {
    case OciCode::kBlobUnknown:
      return "BLOB_UNKNOWN";
    case OciCode::kManifestUnknown:
      return "MANIFEST_UNKNOWN";
    case OciCode::kNameUnknown:
      return "NAME_UNKNOWN";
    case OciCode::kNameInvalid:
      return "NAME_INVALID";
    case OciCode::kDigestInvalid:
      return "DIGEST_INVALID";
    case OciCode::kManifestInvalid:
      return "MANIFEST_INVALID";
    case OciCode::kTagInvalid:
      return "TAG_INVALID";
    case OciCode::kPaginationInvalid:
      return "PAGINATION_NUMBER_INVALID";
    case OciCode::kUnauthorized:
      return "UNAUTHORIZED";
    case OciCode::kDenied:
      return "DENIED";
    case OciCode::kUnsupported:
      return "UNSUPPORTED";
    case OciCode::kTooManyRequests:
      return "TOOMANYREQUESTS";
    case OciCode::kRangeInvalid:
      return "RANGE_INVALID";
    case OciCode::kUnavailable:
      return "UNAVAILABLE";
    case OciCode::kUnknown:
      return "UNKNOWN";
  }
  std::abort();
}

http::Response oci_error(int status, OciCode code, std::string_view message) {
  nlohmann::ordered_json error;
  error["code"] = to_string(code);
  error["message"] = message;
  nlohmann::ordered_json body;
  body["errors"] = nlohmann::ordered_json::array({std::move(error)});
  auto text = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return http::Response::text(status, "application/json", std::move(text) + "\n");
}

StatusAndCode status_of(Errc code, Subject subject) noexcept {
  const auto by_subject = [subject](OciCode blob, OciCode manifest, OciCode repository) {
    switch (subject) {
      case Subject::kBlob:
        return blob;
      case Subject::kManifest:
        return manifest;
      case Subject::kRepository:
        return repository;
    }
    std::abort();
  };
  switch (code) {
    case Errc::kInvalid:
      return {400, by_subject(OciCode::kDigestInvalid, OciCode::kTagInvalid, OciCode::kNameInvalid)};
    case Errc::kNotFound:
      return {404, by_subject(OciCode::kBlobUnknown, OciCode::kManifestUnknown, OciCode::kNameUnknown)};
    case Errc::kUnauthorized:
      return {401, OciCode::kUnauthorized};
    case Errc::kDenied:
      return {403, OciCode::kDenied};
    case Errc::kOutOfRange:
      return {416, OciCode::kRangeInvalid};
    case Errc::kUnsupported:
      return {400, OciCode::kUnsupported};
    case Errc::kCorrupt:
      return {502, OciCode::kUnknown};
    case Errc::kUnavailable:
    case Errc::kThrottled:
    case Errc::kTimeout:
    case Errc::kNoSpace:
    case Errc::kIo:
    case Errc::kLimit:
    case Errc::kBusy:
    case Errc::kCancelled:
      return {503, OciCode::kUnavailable};
  }
  std::abort();
}

http::Response oci_error_from(const Error& error, Subject subject) {
  const auto [status, code] = status_of(error.code(), subject);
  return oci_error(status, code, error.what());
}

}  // namespace oxbow::registry_api

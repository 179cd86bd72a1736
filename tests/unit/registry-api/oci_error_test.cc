#include "registry-api/oci_error.h"

#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

std::string body_of(http::Response& response) {
  std::string out;
  while (response.body) {
    const auto piece = response.body->next(1 << 20);
    const auto* bytes = std::get_if<http::MemoryPiece>(&piece);
    if (bytes == nullptr) break;
    out += bytes->bytes;
  }
  return out;
}

// The body is what clients parse, with its exact length, whatever stands in the message.
TEST(OciError, IsJson) {
  auto response = oci_error(404, OciCode::kBlobUnknown, "no \"blob\"\n\xff");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.headers.find("content-type"), "application/json");
  const auto body = body_of(response);
  EXPECT_EQ(response.content_length, body.size());
  EXPECT_EQ(body, "{\"errors\":[{\"code\":\"BLOB_UNKNOWN\",\"message\":\"no \\\"blob\\\"\\n\xef\xbf\xbd\"}]}\n");
}

// No error of ours becomes a 429, a 3xx or a 2xx: containerd retries a 429 at once and aborts on a 3xx.
TEST(OciError, StatusesAreThoseThatClientsFallThroughOn) {
  for (int code = 0; code <= static_cast<int>(Errc::kCancelled); ++code) {
    for (const auto subject : {Subject::kBlob, Subject::kManifest, Subject::kRepository}) {
      const auto status = status_of(static_cast<Errc>(code), subject).status;
      EXPECT_TRUE(status == 400 || status == 401 || status == 403 || status == 404 || status == 416 || status == 502 ||
                  status == 503)
          << code << " " << status;
    }
  }
  EXPECT_EQ(status_of(Errc::kThrottled, Subject::kManifest).status, 503);
  EXPECT_EQ(status_of(Errc::kCorrupt, Subject::kBlob).status, 502);
}

// Missing content is not a missing repository: oras takes NAME_UNKNOWN for an error, any other 404 for "none".
TEST(OciError, NamesWhatIsMissing) {
  EXPECT_EQ(status_of(Errc::kNotFound, Subject::kBlob).code, OciCode::kBlobUnknown);
  EXPECT_EQ(status_of(Errc::kNotFound, Subject::kManifest).code, OciCode::kManifestUnknown);
  EXPECT_EQ(status_of(Errc::kNotFound, Subject::kRepository).code, OciCode::kNameUnknown);
  EXPECT_EQ(status_of(Errc::kInvalid, Subject::kBlob).code, OciCode::kDigestInvalid);
}

}  // namespace
}  // namespace oxbow::registry_api

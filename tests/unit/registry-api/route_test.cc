#include "registry-api/route.h"

#include <gtest/gtest.h>

namespace oxbow::registry_api {
namespace {

struct Case {
  const char* path;
  RouteKind kind;
  const char* name = "";
  const char* reference = "";
  const char* prefix = "";
};

// Every endpoint, at the root and below a prefix; names that hold the endpoints' own words; what is none of them.
TEST(Route, Table) {
  using enum RouteKind;
  const Case cases[] = {
      {"/v2/", kBase},
      {"/v2", kBase},
      {"/docker.io/v2/", kBase, "", "", "docker.io"},
      {"/v2/library/alpine/manifests/latest", kManifest, "library/alpine", "latest"},
      {"/v2/alpine/manifests/sha256:aa", kManifest, "alpine", "sha256:aa"},
      {"/v2/alpine/manifests/sha256%3Aaa", kManifest, "alpine", "sha256:aa"},
      {"/docker.io/v2/alpine/blobs/sha256:aa", kBlob, "alpine", "sha256:aa", "docker.io"},
      {"/a/b/v2/alpine/blobs/sha256:aa", kBlob, "alpine", "sha256:aa", "a/b"},
      {"/v2/reg%3A5000/x/blobs/sha256:aa", kBlob, "reg:5000/x", "sha256:aa"},
      {"/v2/x/tags/list", kTags, "x"},
      {"/v2/x/referrers/sha256:aa", kReferrers, "x", "sha256:aa"},
      {"/v2/x/blobs/uploads/", kUpload, "x"},
      {"/v2/x/blobs/uploads", kUpload, "x"},
      {"/v2/x/blobs/uploads/some-session", kUpload, "x"},
      {"/v2/_catalog", kCatalog},
      {"/ping", kPing},
      {"/healthz", kPing},
      // Names with the words of the endpoints in them.
      {"/v2/blobs/manifests/manifests/v2", kManifest, "blobs/manifests", "v2"},
      {"/v2/manifests/blobs/sha256:aa", kBlob, "manifests", "sha256:aa"},
      {"/v2/foo/blobs/uploads/manifests/latest", kManifest, "foo/blobs/uploads", "latest"},
      {"/v2/v2/v2/manifests/v2", kManifest, "v2/v2", "v2"},
      {"/v2/tags/list/tags/list", kTags, "tags/list"},
      {"/v2/referrers/manifests/tags", kManifest, "referrers", "tags"},
      // Nothing of ours.
      {"", kUnknown},
      {"/", kUnknown},
      {"v2/", kUnknown},
      {"/v1/x", kUnknown},
      {"/v2/x", kUnknown},
      {"/v2/manifests/latest", kUnknown},
      {"/v2//manifests/latest", kUnknown},
      {"/v2/x//manifests/latest", kUnknown},
      {"/v2/x/manifests/", kUnknown},
      {"/v2/tags/list", kUnknown},
      {"/v2/x/manifests/latest/", kUnknown},
      {"//v2/x/manifests/latest", kUnknown},
      {"/v2/../x/manifests/latest", kUnknown},
      {"/v2/%2e%2e/x/manifests/latest", kUnknown},
      {"/v2/x/manifests/%zz", kUnknown},
      {"/v2/x/manifests/%", kUnknown},
      {"/v2/x/manifests/a%00", kUnknown},
      {"/v2/x/manifests/a b", kUnknown},
      {"/v2/x/manifests/a\nb", kUnknown},
      {"/ping/x", kUnknown},
  };
  for (const auto& c : cases) {
    const auto route = parse_route(c.path);
    EXPECT_EQ(route.kind, c.kind) << c.path;
    if (c.kind == kUnknown) continue;
    EXPECT_EQ(route.name, c.name) << c.path;
    EXPECT_EQ(route.reference, c.reference) << c.path;
    EXPECT_EQ(route.prefix, c.prefix) << c.path;
  }
}

// A path longer than any real one is not split at all.
TEST(Route, RefusesEndlessPaths) {
  EXPECT_EQ(parse_route("/v2/" + std::string(5000, 'a') + "/manifests/x").kind, RouteKind::kUnknown);
}

}  // namespace
}  // namespace oxbow::registry_api

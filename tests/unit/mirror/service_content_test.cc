// Manifests and small blobs through the whole service: byte-exact, verified, ranges, headers.
#include <gtest/gtest.h>

#include "service_bench.h"

namespace oxbow::mirror {
namespace {

constexpr auto kType = "application/vnd.oci.image.manifest.v1+json";

class ServiceContentTest : public ::testing::Test {
 protected:
  ServiceContentTest() {
    blob_ = bench_.site.add_blob("app", content_);
    bytes_ = manifest_of({{blob_, content_.size()}});
    manifest_ = bench_.site.add_manifest("app", bytes_, "v1");
  }
  std::string manifest() const { return "/v2/app/manifests/" + manifest_.to_string(); }
  std::string blob() const { return "/v2/app/blobs/" + blob_.to_string(); }

  ServiceBench bench_;
  std::string content_ = upstream::testing::pattern(2'048);
  Digest blob_ = Digest::sha256("");
  std::string bytes_;
  Digest manifest_ = Digest::sha256("");
};

// A manifest comes byte for byte, with type, length and digest, by tag and by digest, cold and warm.
TEST_F(ServiceContentTest, ManifestIsExact) {
  for (const auto& target : {std::string("/v2/app/manifests/v1"), manifest(), manifest()}) {
    const auto got = bench_.get(target);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, bytes_);
    EXPECT_EQ(got.length, bytes_.size());
    EXPECT_EQ(got.header("Content-Type"), kType);
    EXPECT_EQ(got.header("Docker-Content-Digest"), manifest_.to_string());
    EXPECT_FALSE(got.headers.find("Content-Encoding"));
    EXPECT_FALSE(got.headers.find("OCI-Subject"));
  }
}

// HEAD says all that GET says, with the exact length and no body; cold and warm.
TEST_F(ServiceContentTest, HeadIsGetWithoutBody) {
  for (int round = 0; round < 2; ++round) {
    for (const auto& target : {std::string("/v2/app/manifests/v1"), manifest(), blob()}) {
      const auto head = bench_.head(target);
      const auto got = bench_.get(target);
      EXPECT_EQ(head.status, 200);
      EXPECT_FALSE(head.has_body);
      EXPECT_EQ(head.length, got.body.size());
      for (const auto* name : {"Content-Type", "Docker-Content-Digest", "Accept-Ranges"}) {
        EXPECT_EQ(head.header(name), got.header(name)) << name;
      }
    }
  }
}

// A type with parameters is given without them: clients compare it with the descriptor's.
TEST_F(ServiceContentTest, TypeHasNoParameters) {
  const auto digest = bench_.site.add_manifest("app", R"({"schemaVersion":2,"manifests":[]})", "index",
                                               "application/vnd.oci.image.index.v1+json; charset=utf-8");
  EXPECT_EQ(bench_.get("/v2/app/manifests/index").header("Content-Type"), "application/vnd.oci.image.index.v1+json");
  EXPECT_EQ(bench_.get("/v2/app/manifests/" + digest.to_string()).header("Content-Type"),
            "application/vnd.oci.image.index.v1+json");
}

// Wrong bytes are 502, to GET and HEAD, and are not kept: the next request, of a healed upstream, is right.
TEST_F(ServiceContentTest, WrongBytesAreNeverServed) {
  bench_.site.set({.corrupt = true});
  for (const auto& target : {manifest(), std::string("/v2/app/manifests/v1"), blob()}) {
    const auto got = bench_.get(target);
    EXPECT_EQ(got.status, 502) << target;
    EXPECT_FALSE(got.body.contains("schemaVersion"));
    EXPECT_EQ(bench_.head(target).status, 502) << target;
  }
  EXPECT_NE(bench_.scratch.metric("oxbow_verify_failures_total{source=\"upstream\"}"), "0");
  bench_.site.set({});
  EXPECT_EQ(bench_.get(manifest()).body, bytes_);
  EXPECT_EQ(bench_.get("/v2/app/manifests/v1").body, bytes_);
  EXPECT_EQ(bench_.get(blob()).body, content_);
}

// What is kept is served after a restart without a question.
TEST_F(ServiceContentTest, KeptAcrossRestart) {
  bench_.get(manifest());
  bench_.get(blob());
  bench_.restart();
  const auto asked = bench_.site.requests();
  EXPECT_EQ(bench_.get(manifest()).body, bytes_);
  EXPECT_EQ(bench_.get(manifest()).header("Content-Type"), kType);
  EXPECT_EQ(bench_.get(blob()).body, content_);
  EXPECT_EQ(bench_.site.requests(), asked);
}

// A blob that a manifest named needs no HEAD: one GET, then none.
TEST_F(ServiceContentTest, NamedBlobCostsOneGet) {
  bench_.get(manifest());
  const auto asked = bench_.site.requests();
  EXPECT_EQ(bench_.get(blob()).body, content_);
  EXPECT_EQ(bench_.site.count("HEAD", "/blobs/"), 0U);
  EXPECT_EQ(bench_.site.requests(), asked + 1);
}

// The ranges of the conformance suite.
TEST_F(ServiceContentTest, Ranges) {
  const auto whole = bench_.get(blob());
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.header("Accept-Ranges"), "bytes");
  const struct {
    const char* asked;
    std::size_t first;
    std::size_t last;
  } cases[] = {{"500-1499", 500, 1499},   {"500-", 500, 2047}, {"-500", 1548, 2047},
               {"2000-5000", 2000, 2047}, {"0-0", 0, 0},       {"-9999", 0, 2047}};
  for (const auto& [asked, first, last] : cases) {
    const auto got = bench_.get(blob(), range(asked));
    EXPECT_EQ(got.status, 206) << asked;
    EXPECT_EQ(got.body, content_.substr(first, last - first + 1)) << asked;
    EXPECT_EQ(got.length, last - first + 1);
    EXPECT_EQ(got.header("Content-Range"), fmt::format("bytes {}-{}/2048", first, last));
    EXPECT_EQ(got.header("Docker-Content-Digest"), blob_.to_string());
  }
  for (const auto* asked : {"500-0", "5000-10000", "2048-"}) {
    const auto got = bench_.get(blob(), range(asked));
    EXPECT_EQ(got.status, 416) << asked;
    EXPECT_EQ(got.header("Content-Range"), "bytes */2048");
  }
}

// Several ranges: multipart in the order asked, one part each, none merged, exact length.
TEST_F(ServiceContentTest, Multipart) {
  const auto got = bench_.get(blob(), range("100-199,0-9,5-14,2000-"));
  EXPECT_EQ(got.status, 206);
  EXPECT_EQ(got.length, got.body.size());
  const auto type = got.header("Content-Type");
  ASSERT_TRUE(type.starts_with("multipart/byteranges; boundary="));
  const auto boundary = "--" + type.substr(type.find('=') + 1);
  std::size_t at = 0;
  for (const auto& [first, last] : {std::pair{100, 199}, {0, 9}, {5, 14}, {2000, 2047}}) {
    at = got.body.find(boundary + "\r\n", at);
    ASSERT_NE(at, std::string::npos);
    const auto header = got.body.find(fmt::format("bytes {}-{}/2048\r\n", first, last), at);
    ASSERT_NE(header, std::string::npos);
    at = got.body.find("\r\n\r\n", at) + 4;
    EXPECT_GT(at, header);
    const auto size = static_cast<std::size_t>(last - first + 1);
    EXPECT_EQ(got.body.substr(at, size), content_.substr(static_cast<std::size_t>(first), size));
  }
  EXPECT_TRUE(std::string_view(got.body).substr(at).contains(boundary + "--"));
}

// If-Range with the content's own tag lets the range apply; with any other one the whole is given.
TEST_F(ServiceContentTest, IfRange) {
  const auto tag = bench_.get(blob()).header("ETag");
  ASSERT_FALSE(tag.empty());
  EXPECT_EQ(bench_.get(blob(), {{"Range", "bytes=0-9"}, {"If-Range", tag}}).status, 206);
  for (const auto* other : {"\"sha256:00\"", "Wed, 21 Oct 2015 07:28:00 GMT", ""}) {
    const auto got = bench_.get(blob(), {{"Range", "bytes=0-9"}, {"If-Range", other}});
    EXPECT_EQ(got.status, 200) << other;
    EXPECT_EQ(got.body, content_);
  }
}

// A Range that is malformed or of another unit is no Range; one on HEAD changes nothing.
TEST_F(ServiceContentTest, OddRangesAreIgnored) {
  for (const auto* odd : {"lines=0-5", "bytes", "bytes=", "bytes=a-b"}) {
    EXPECT_EQ(bench_.get(blob(), {{"Range", odd}}).status, 200) << odd;
  }
  const auto head = bench_.head(blob(), range("0-9"));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.length, content_.size());
}

// Some containerd send a Range with every manifest request, others go on from where they were: never a 4xx.
TEST_F(ServiceContentTest, RangeOnManifestIsNever4xx) {
  const auto all = bench_.get(manifest(), range("0-"));
  EXPECT_TRUE(all.status == 200 || all.status == 206);
  EXPECT_EQ(all.body, bytes_);
  const auto part = bench_.get(manifest(), range("10-"));
  EXPECT_EQ(part.body, part.status == 206 ? bytes_.substr(10) : bytes_);
  for (const auto* beyond : {"999999-", "5-2"}) {
    const auto got = bench_.get(manifest(), range(beyond));
    EXPECT_EQ(got.status, 200) << beyond;
    EXPECT_EQ(got.body, bytes_);
  }
}

// A digest that was first fetched as a blob still gets its media type when it is asked for as a manifest.
TEST_F(ServiceContentTest, BlobFirstThenManifest) {
  bench_.site.add_blob("app", bytes_);
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + manifest_.to_string()).body, bytes_);
  EXPECT_EQ(bench_.get(manifest()).header("Content-Type"), kType);
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + manifest_.to_string()).body, bytes_);
}

// An empty blob has a length of 0, and no range.
TEST_F(ServiceContentTest, EmptyBlob) {
  const auto empty = bench_.site.add_blob("app", "");
  const auto target = "/v2/app/blobs/" + empty.to_string();
  for (int round = 0; round < 2; ++round) {
    const auto got = bench_.get(target);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.length, 0U);
    EXPECT_EQ(got.body, "");
  }
  EXPECT_EQ(bench_.head(target).length, 0U);
  EXPECT_EQ(bench_.get(target, range("5-")).status, 416);
}

// Digests of 512 bits are served and verified like the others.
TEST_F(ServiceContentTest, Sha512) {
  const std::string text = "long digest";
  const auto digest = Digest::of(Digest::Algorithm::kSha512, std::as_bytes(std::span(text)));
  bench_.site["app"].blobs[digest.to_string()] = text;
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + digest.to_string()).body, text);
  const auto other = Digest::of(Digest::Algorithm::kSha512, std::as_bytes(std::span(content_)));
  bench_.site.change([&] { bench_.site["app"].blobs[other.to_string()] = text; });
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + other.to_string()).status, 502);
}

// A registry that answers late, as one whose link is full does: the size of a blob that a manifest named is known, so
// its headers go out in time and the bytes follow. Others who ask join the same request.
TEST_F(ServiceContentTest, ALateBlobFollowsItsHeaders) {
  bench_.get(manifest());
  bench_.site.hold("/blobs/");
  auto whole = bench_.start(blob());
  auto part = bench_.start(blob(), range("500-1499"), http::Method::kGet, 1);
  auto head = bench_.start(blob(), {}, http::Method::kHead);
  bench_.await_late(3);
  bench_.site.release();
  const auto got = whole.get();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.length, content_.size());
  EXPECT_EQ(got.header("Docker-Content-Digest"), blob_.to_string());
  EXPECT_EQ(got.body, content_);
  EXPECT_FALSE(got.cut);
  const auto ranged = part.get();
  EXPECT_EQ(ranged.status, 206);
  EXPECT_EQ(ranged.header("Content-Range"), "bytes 500-1499/2048");
  EXPECT_EQ(ranged.body, content_.substr(500, 1000));
  EXPECT_EQ(head.get().length, content_.size());
  EXPECT_EQ(bench_.site.count("GET", "/blobs/"), 1U);
  EXPECT_EQ(bench_.scratch.metric("oxbow_client_bytes_total{source=\"upstream\"}"),
            std::to_string(bytes_.size() + content_.size() + 1000));
}

// What comes late and is wrong, or of another size than was said, is cut: no client gets it whole.
TEST_F(ServiceContentTest, ALateBlobThatIsWrongIsCut) {
  const auto lie = bench_.site.add_manifest("app", manifest_of({{blob_, 100}}));
  bench_.get("/v2/app/manifests/" + lie.to_string());
  bench_.site.hold("/blobs/");
  auto claimed = bench_.start(blob());
  bench_.await_late(1);
  bench_.site.release();
  const auto got = claimed.get();
  EXPECT_EQ(got.length, 100U);
  EXPECT_TRUE(got.cut);
  EXPECT_EQ(got.body, "");
  // What came says its size, and is kept.
  EXPECT_EQ(bench_.get(blob()).body, content_);

  // More than can be taken whole: upstream is asked for the size by who comes next.
  const auto large_bytes = upstream::testing::pattern(9 << 20);
  const auto large = bench_.site.add_blob("app", large_bytes);
  bench_.site.add_manifest("app", manifest_of({{large, 100}}), "large");
  bench_.get("/v2/app/manifests/large");
  bench_.site.hold("/blobs/");
  auto too_large = bench_.start("/v2/app/blobs/" + large.to_string());
  bench_.await_late(2);
  bench_.site.release();
  EXPECT_TRUE(too_large.get().cut);
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + large.to_string()).body, large_bytes);

  const auto other = bench_.site.add_blob("app", "another one");
  bench_.site.add_manifest("app", manifest_of({{other, 11}}), "v2");
  bench_.get("/v2/app/manifests/v2");
  bench_.site.set({.corrupt = true});
  bench_.site.hold("/blobs/");
  auto wrong = bench_.start("/v2/app/blobs/" + other.to_string());
  bench_.await_late(3);
  bench_.site.release();
  const auto cut = wrong.get();
  EXPECT_TRUE(cut.cut);
  EXPECT_EQ(cut.body, "");
}

// A manifest's type is not known before it comes: the answer is 503 in time, and whoever asks again gets what came
// since.
TEST_F(ServiceContentTest, ALateManifestIsForWhoAsksAgain) {
  bench_.site.hold("/manifests/" + manifest_.to_string());
  EXPECT_EQ(bench_.get(manifest()).status, 503);
  auto again = bench_.start(manifest());
  bench_.site.release();
  EXPECT_EQ(again.get().body, bytes_);
  EXPECT_EQ(bench_.site.count("GET", "/manifests/"), 1U);
}

// A manifest that no parser likes is still a manifest, byte for byte.
TEST_F(ServiceContentTest, UnreadableManifestIsServed) {
  const auto digest = bench_.site.add_manifest("app", "not json at all", "odd", "text/plain");
  EXPECT_EQ(bench_.get("/v2/app/manifests/odd").body, "not json at all");
  EXPECT_EQ(bench_.get("/v2/app/manifests/" + digest.to_string()).header("Content-Type"), "text/plain");
}

}  // namespace
}  // namespace oxbow::mirror

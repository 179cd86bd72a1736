// Blobs above 64 KiB through the whole service: sizes, ranges, registries that tell little, and lies about the size.
#include <gtest/gtest.h>

#include "body_reader.h"
#include "service_bench.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMiB = 1024UL * 1024;

class ServiceBlobTest : public ::testing::Test {
 protected:
  ServiceBlobTest() { blob_ = bench_.site.add_blob("app", content_); }
  std::string blob(const std::string& repository = "app") const {
    return "/v2/" + repository + "/blobs/" + blob_.to_string();
  }
  /// A manifest that claims `size` for the blob has been pulled from the repository.
  void claim(std::uint64_t size, const std::string& repository = "app") {
    const auto manifest = bench_.site.add_manifest(repository, manifest_of({{blob_, size}}));
    ASSERT_EQ(bench_.get("/v2/" + repository + "/manifests/" + manifest.to_string()).status, 200);
  }
  /// Whatever came at first, the blob is had in the end: a claim that was wrong is not believed for ever.
  void expect_served_soon(const std::string& target) {
    Answer got;
    for (int i = 0; i < 3 && got.body != content_; ++i) {
      got = bench_.get(target);
      // Never a complete response with wrong bytes, never the client's fault.
      if (got.status == 200 && !got.cut) EXPECT_TRUE(got.body == content_ || got.length != got.body.size());
      EXPECT_TRUE(got.status == 200 || got.status == 502 || got.status == 503) << got.status << ' ' << got.body;
    }
    EXPECT_TRUE(got.body == content_) << got.status << ' ' << (got.status == 200 ? "" : got.body);
  }

  ServiceBench bench_;
  std::string content_ = upstream::testing::pattern(3 * kMiB + 77);
  Digest blob_ = Digest::sha256("");
};

// Cold and warm: exact length, headers, bytes; the warm one asks nothing.
TEST_F(ServiceBlobTest, ColdAndWarm) {
  for (int round = 0; round < 2; ++round) {
    const auto asked = bench_.site.requests();
    const auto got = bench_.get(blob(), {}, static_cast<std::size_t>(round));
    EXPECT_EQ(got.status, 200);
    EXPECT_TRUE(got.body == content_);
    EXPECT_EQ(got.length, content_.size());
    EXPECT_EQ(got.header("Docker-Content-Digest"), blob_.to_string());
    EXPECT_EQ(got.header("Accept-Ranges"), "bytes");
    EXPECT_EQ(got.header("Content-Type"), "application/octet-stream");
    EXPECT_FALSE(got.headers.find("Content-Range"));
    EXPECT_EQ(got.header("Oxbow-Source"), round == 0 ? "" : "storage");
    if (round == 1) EXPECT_EQ(bench_.site.requests(), asked);
  }
  EXPECT_EQ(bench_.site.server().body_bytes_sent(), content_.size());
}

// HEAD gives the length and fetches nothing.
TEST_F(ServiceBlobTest, HeadFetchesNothing) {
  for (int round = 0; round < 2; ++round) {
    const auto head = bench_.head(blob());
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.length, content_.size());
    EXPECT_FALSE(head.has_body);
  }
  EXPECT_EQ(bench_.site.count("GET"), 0U);
  EXPECT_EQ(bench_.site.count("HEAD"), 1U);
}

// Single and several ranges, 416, If-Range: as for small ones.
TEST_F(ServiceBlobTest, Ranges) {
  const auto size = content_.size();
  const auto part = bench_.get(blob(), range("1000000-1000999"));
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.header("Content-Range"), fmt::format("bytes 1000000-1000999/{}", size));
  EXPECT_EQ(part.body, content_.substr(1'000'000, 1'000));
  const auto tail = bench_.get(blob(), range("-1000"));
  EXPECT_EQ(tail.status, 206);
  EXPECT_EQ(tail.body, content_.substr(size - 1000));
  const auto rest = bench_.get(blob(), range("3000000-"));
  EXPECT_EQ(rest.header("Content-Range"), fmt::format("bytes 3000000-{}/{}", size - 1, size));
  EXPECT_EQ(rest.body, content_.substr(3'000'000));
  for (const auto* bad : {"500-0", "99999999-"}) {
    const auto beyond = bench_.get(blob(), range(bad));
    EXPECT_EQ(beyond.status, 416);
    EXPECT_EQ(beyond.header("Content-Range"), fmt::format("bytes */{}", size));
  }
  const auto several = bench_.get(blob(), range("2000000-2000009,5-9"));
  EXPECT_EQ(several.status, 206);
  EXPECT_EQ(several.length, several.body.size());
  const auto second = several.body.find(content_.substr(2'000'000, 10));
  ASSERT_NE(second, std::string::npos);
  EXPECT_NE(several.body.find(content_.substr(5, 5), second), std::string::npos);
  EXPECT_EQ(bench_.get(blob(), {{"Range", "bytes=0-9"}, {"If-Range", "\"x\""}}).body.size(), size);
}

// A registry that answers 405 to HEAD, or gives no length: the size comes from a GET of one byte.
TEST_F(ServiceBlobTest, SizeWithoutHead) {
  for (const auto& faults : {Site::Faults{.no_head_of_blobs = true}, Site::Faults{.no_length = true},
                             Site::Faults{.no_head_of_blobs = true, .no_ranges = true}}) {
    ServiceBench bench;
    bench.site.add_blob("app", content_);
    bench.site.set(faults);
    EXPECT_EQ(bench.head(blob()).length, content_.size());
    EXPECT_TRUE(bench.get(blob()).body == content_);
    const auto tiny = bench.site.add_blob("app", "tiny");
    EXPECT_EQ(bench.get("/v2/app/blobs/" + tiny.to_string()).body, "tiny");
    const auto empty = bench.site.add_blob("app", "");
    EXPECT_EQ(bench.get("/v2/app/blobs/" + empty.to_string()).status, 200);
    EXPECT_EQ(bench.get("/v2/app/blobs/" + Digest::sha256("none").to_string()).status, 404);
  }
}

// So it does where HEAD is sent to a store whose signed address is good for GET only.
TEST_F(ServiceBlobTest, SizeWhereTheStoreRefusesHead) {
  bench_.other.add_blob("app", content_);
  for (const int status : {403, 401}) {
    ServiceBench bench;
    bench.site.add_blob("app", content_);
    bench.site.set({.blobs_at = bench_.other.url(), .heads_at = bench_.other.url()});
    bench_.other.set({.refuse_heads = status});
    EXPECT_EQ(bench.head(blob()).length, content_.size());
    EXPECT_TRUE(bench.get(blob()).body == content_);
  }
}

// The same for a blob that a manifest named without a size.
TEST_F(ServiceBlobTest, UnsizedBlobWithoutHead) {
  const auto manifest =
      fmt::format(R"({{"schemaVersion":1,"name":"app","tag":"v","fsLayers":[{{"blobSum":"{}"}}],"history":[]}})",
                  blob_.to_string());
  for (const auto& faults : {Site::Faults{}, Site::Faults{.no_head_of_blobs = true}, Site::Faults{.no_length = true}}) {
    ServiceBench bench;
    bench.site.add_blob("app", content_);
    bench.site.add_manifest("app", manifest, "v", "application/vnd.docker.distribution.manifest.v1+prettyjws");
    bench.site.set(faults);
    ASSERT_EQ(bench.get("/v2/app/manifests/v").status, 200);
    EXPECT_TRUE(bench.get(blob()).body == content_);
  }
}

// A registry without ranges gives everything, once.
TEST_F(ServiceBlobTest, WithoutRanges) {
  bench_.site.set({.no_ranges = true});
  EXPECT_TRUE(bench_.get(blob()).body == content_);
  EXPECT_EQ(bench_.site.server().body_bytes_sent(), content_.size());
}

// A manifest that claims too much or too little, across every border that the size decides.
TEST_F(ServiceBlobTest, WrongClaimsAreNotBelievedForEver) {
  for (const std::uint64_t claimed : {std::uint64_t{10}, std::uint64_t{100'000}, std::uint64_t{content_.size() - 1},
                                      std::uint64_t{content_.size() + 1}, std::uint64_t{900 * kMiB}}) {
    SCOPED_TRACE(claimed);
    ServiceBench bench;
    bench.site.add_blob("app", content_);
    const auto manifest = bench.site.add_manifest("app", manifest_of({{blob_, claimed}}));
    ASSERT_EQ(bench.get("/v2/app/manifests/" + manifest.to_string()).status, 200);
    Answer got;
    for (int i = 0; i < 3 && got.body != content_; ++i) got = bench.get(blob());
    EXPECT_TRUE(got.body == content_) << got.status << ' ' << got.body.substr(0, 300);
    EXPECT_EQ(got.length, content_.size());
  }
}

// A small blob whose manifest claims that it is a large one.
TEST_F(ServiceBlobTest, SmallBlobClaimedLarge) {
  content_ = "really small";
  blob_ = bench_.site.add_blob("app", content_);
  claim(5 * kMiB);
  expect_served_soon(blob());
}

// A large blob, larger than what is ever fetched whole, whose manifest claims that it is small.
TEST_F(ServiceBlobTest, LargeBlobClaimedSmall) {
  content_ = upstream::testing::pattern(9 * kMiB);
  blob_ = bench_.site.add_blob("app", content_);
  claim(1'000);
  expect_served_soon(blob());
}

// A claim in one repository does not harm the same blob in another one, not even while it is partly here.
TEST_F(ServiceBlobTest, ClaimsHarmOnlyTheirRepository) {
  bench_.site.add_blob("liar", content_);
  claim(2 * content_.size(), "liar");
  bench_.get(blob("liar"), range("0-9"));
  bench_.get(blob("liar"));
  expect_served_soon(blob());
  EXPECT_TRUE(bench_.get(blob()).body == content_);
}

// Nor while an honest pull of it is under way: both go on, each with the size of its own repository.
TEST_F(ServiceBlobTest, ClaimsDoNotHarmARunningPull) {
  bench_.site.add_blob("liar", content_);
  claim(content_.size());
  for (const auto claimed : {2 * content_.size(), content_.size() / 2}) {
    claim(claimed, "liar");
    std::vector<std::future<Answer>> honest;
    std::vector<std::future<Answer>> lied_to;
    for (std::size_t i = 0; i < 4; ++i) {
      honest.push_back(bench_.start(blob(), {}, http::Method::kGet, i % 2));
      lied_to.push_back(
          bench_.start(blob("liar"), i < 2 ? ServiceBench::Fields{} : range("-10"), http::Method::kGet, i % 2));
    }
    for (auto& reader : lied_to) {
      const auto got = reader.get();
      EXPECT_TRUE(got.cut || got.status >= 500 || got.body == content_ || content_.ends_with(got.body)) << got.status;
    }
    // A first answer may be an error while the sizes are at odds; the next one is right.
    for (auto& reader : honest) {
      const auto got = reader.get();
      EXPECT_TRUE(got.body == content_ || got.cut || got.status >= 500) << got.status;
    }
    EXPECT_TRUE(bench_.get(blob()).body == content_);
    bench_.scratch.store().purge(blob_);
  }
}

// Wrong bytes never make a complete response, and the next pull of a healed upstream is right.
TEST_F(ServiceBlobTest, WrongBytes) {
  bench_.site.set({.corrupt = true});
  const auto got = bench_.get(blob());
  EXPECT_TRUE(got.status == 502 || got.cut);
  EXPECT_LT(got.body.size(), content_.size());
  bench_.site.set({});
  expect_served_soon(blob());
}

// Not there: 404 with the right code; upstream down: 503.
TEST_F(ServiceBlobTest, FailuresBeforeHeaders) {
  const auto missing = "/v2/app/blobs/" + Digest::sha256("nowhere").to_string();
  EXPECT_TRUE(bench_.get(missing).is(404, "BLOB_UNKNOWN"));
  EXPECT_EQ(bench_.head(missing).status, 404);
  bench_.site.set({.down = 502});
  EXPECT_TRUE(bench_.get(blob()).is(503, "UNAVAILABLE"));
}

// A blob that upstream lost after its manifest was served: 404, and nothing is made up.
TEST_F(ServiceBlobTest, NamedButGone) {
  claim(content_.size());
  bench_.site.change([&] { bench_.site["app"].blobs.clear(); });
  EXPECT_TRUE(bench_.get(blob()).is(404, "BLOB_UNKNOWN"));
}

// Granted before, refused now, nothing of it here: the refusal with its challenge belongs to the client.
TEST_F(ServiceBlobTest, RefusedInTheMiddle) {
  bench_.site["app"].readers = {"Bearer alice"};
  const auto manifest = bench_.site.add_manifest("app", manifest_of({{blob_, content_.size()}}));
  ASSERT_EQ(bench_.get("/v2/app/manifests/" + manifest.to_string(), with("Bearer alice")).status, 200);
  bench_.site.change([&] { bench_.site["app"].readers = {"Bearer carol"}; });
  const auto got = bench_.get(blob(), with("Bearer alice"));
  EXPECT_TRUE(got.is(401, "UNAUTHORIZED")) << got.status;
  EXPECT_EQ(got.header("WWW-Authenticate"), bench_.site.challenge("app"));
  // The grant is over, for what is cached too.
  EXPECT_EQ(bench_.get("/v2/app/manifests/" + manifest.to_string(), with("Bearer alice")).status, 401);
}

// 30 readers at once, on two loops: every byte crosses the upstream link once.
TEST_F(ServiceBlobTest, ManyReadersOneFetch) {
  claim(content_.size());
  const auto before = bench_.site.server().body_bytes_sent();
  std::vector<std::future<Answer>> readers;
  for (std::size_t i = 0; i < 30; ++i) readers.push_back(bench_.start(blob(), {}, http::Method::kGet, i % 2));
  for (auto& reader : readers) EXPECT_TRUE(reader.get().body == content_);
  EXPECT_EQ(bench_.site.server().body_bytes_sent() - before, content_.size());
}

// A blob that upstream refuses is refused, and the grant is over: the next request asks anew.
TEST_F(ServiceBlobTest, ARefusedBlobEndsTheGrant) {
  ASSERT_EQ(bench_.head(blob()).status, 200);
  bench_.site.set({.refuse_blobs = 403});
  EXPECT_EQ(bench_.get(blob()).status, 403);
  bench_.site.set({});
  const auto asked = bench_.site.count("HEAD", "/blobs/");
  EXPECT_TRUE(bench_.get(blob()).body == content_);
  EXPECT_GT(bench_.site.count("HEAD", "/blobs/"), asked);
}

// The store of objects that upstream sends us to refuses: it does not speak for upstream, and is asked again.
TEST_F(ServiceBlobTest, ARefusalElsewhereIsAFailure) {
  bench_.other.add_blob("app", content_);
  bench_.other.set({.refuse_blobs = 403});
  bench_.site.set({.blobs_at = bench_.other.url()});
  auto answer = bench_.start(blob());
  ASSERT_TRUE(eventually([&] { return bench_.other.count("GET", "/blobs/") > 0; }));
  bench_.other.set({});
  const auto got = answer.get();
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.body == content_);
}

}  // namespace
}  // namespace oxbow::mirror

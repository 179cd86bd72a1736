// Private content goes only to callers that upstream would serve, through the whole service.
#include <gtest/gtest.h>

#include "core/encoding.h"
#include "service_bench.h"

namespace oxbow::mirror {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMiB = 1024UL * 1024;

class ServiceAccessTest : public ::testing::Test {
 protected:
  ServiceAccessTest() {
    bench_.site["secret"].readers = {"Bearer alice", "Basic bm9kZTpwdw=="};
    bench_.site["mine"].readers = {"Bearer bob"};
    small_ = bench_.site.add_blob("secret", "a small private blob");
    large_ = bench_.site.add_blob("secret", upstream::testing::pattern(kMiB));
    manifest_ = bench_.site.add_manifest("secret", manifest_of({{small_, 20}, {large_, kMiB}}), "v1");
    bench_.site.add_manifest("mine", manifest_of({}), "v1");
    bench_.site.add_blob("public", "public bytes");
    public_manifest_ = bench_.site.add_manifest("public", manifest_of({}), "v1");
  }

  std::string manifest(const std::string& repository = "secret") {
    return "/v2/" + repository + "/manifests/" + manifest_.to_string();
  }
  static std::string blob(const Digest& digest, const std::string& repository = "secret") {
    return "/v2/" + repository + "/blobs/" + digest.to_string();
  }
  void pull_as_alice() {
    ASSERT_EQ(bench_.get("/v2/secret/manifests/v1", with("Bearer alice")).status, 200);
    ASSERT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 200);
    ASSERT_EQ(bench_.get(blob(large_), with("Bearer alice")).body.size(), kMiB);
  }

  ServiceBench bench_;
  Digest small_ = Digest::sha256("");
  Digest large_ = Digest::sha256("");
  Digest manifest_ = Digest::sha256("");
  Digest public_manifest_ = Digest::sha256("");
};

// Without credentials a private repository is refused with upstream's own challenges, all of them, so that the client's
// token is its own.
TEST_F(ServiceAccessTest, RefusalReplaysTheChallenges) {
  for (const auto& target : {std::string("/v2/secret/manifests/v1"), manifest(), blob(small_), blob(large_),
                             std::string("/v2/secret/tags/list"), "/v2/secret/referrers/" + manifest_.to_string()}) {
    const auto answer = bench_.get(target);
    EXPECT_TRUE(answer.is(401, "UNAUTHORIZED")) << target << answer.status << answer.body;
    EXPECT_EQ(answer.headers.all("WWW-Authenticate"),
              (std::vector<std::string_view>{bench_.site.challenge("secret"), "Basic realm=\"site\""}));
  }
}

// What the client sent is what upstream sees.
TEST_F(ServiceAccessTest, ClientCredentialIsUsedUpstream) {
  pull_as_alice();
  for (const auto& seen : bench_.site.server().seen()) {
    EXPECT_EQ(seen.header("authorization"), "Bearer alice") << seen.target;
  }
}

// Cached, in memory and on disk: another caller gets nothing of it, whether without a credential, with a wrong one, or
// with one that opens another repository.
TEST_F(ServiceAccessTest, CacheOpensNothingToOthers) {
  pull_as_alice();
  for (const bool restarted : {false, true}) {
    if (restarted) bench_.restart();
    for (const auto& fields : {ServiceBench::Fields{}, with("Bearer bob"), with("Bearer ALICE")}) {
      for (const auto& target : {std::string("/v2/secret/manifests/v1"), manifest(), blob(small_), blob(large_)}) {
        const auto answer = bench_.get(target, fields);
        EXPECT_EQ(answer.status, 401) << target;
        EXPECT_FALSE(answer.body.contains("private blob"));
        EXPECT_EQ(bench_.head(target, fields).status, 401) << target;
      }
    }
  }
}

// A caller who may read one repository cannot read another's content through it, whatever is cached.
TEST_F(ServiceAccessTest, OneRepositoryIsNoWayIntoAnother) {
  pull_as_alice();
  ASSERT_EQ(bench_.get("/v2/mine/manifests/v1", with("Bearer bob")).status, 200);
  for (const bool restarted : {false, true}) {
    if (restarted) bench_.restart();
    for (const auto* repository : {"mine", "public"}) {
      EXPECT_TRUE(bench_.get(manifest(repository), with("Bearer bob")).status == 404 ||
                  bench_.get(manifest(repository), with("Bearer bob")).is(401, "UNAUTHORIZED"));
      EXPECT_NE(bench_.get(blob(small_, repository), with("Bearer bob")).status, 200);
      EXPECT_NE(bench_.get(blob(large_, repository), with("Bearer bob")).status, 200);
      EXPECT_NE(bench_.get(blob(large_, repository), {{"Authorization", "Bearer bob"}, {"Range", "bytes=0-9"}}).status,
                206);
      EXPECT_NE(bench_.head(blob(small_, repository), with("Bearer bob")).status, 200);
    }
  }
  EXPECT_TRUE(bench_.get(blob(small_, "mine"), with("Bearer bob")).is(404, "BLOB_UNKNOWN"));
  EXPECT_TRUE(bench_.get(manifest("mine"), with("Bearer bob")).is(404, "MANIFEST_UNKNOWN"));
}

// Nor by a manifest of the caller's own that names it where registries do not look.
TEST_F(ServiceAccessTest, ANameIsNoWayIntoAnotherRepository) {
  pull_as_alice();
  const auto digest = fmt::format(R"("digest":"{}")", large_.to_string());
  const auto whole = fmt::format(R"({{{},"size":{}}})", digest, kMiB);
  const std::string image = "application/vnd.oci.image.manifest.v1+json";
  const std::string index = "application/vnd.oci.image.index.v1+json";
  const std::pair<std::string, std::string> manifests[] = {
      {R"({"layers":[],"blobs":[)" + whole + "]}", image},
      {R"({"layers":[],"subject":{)" + digest + "}}", image},
      {R"({"layers":[{)" + digest + R"(,"urls":["https://x"]}]})", image},
      {R"({"layers":[)" + whole + R"(],"Layers":[]})", image},
      {R"({"layers":[)" + whole + "]}", index},
      {R"({"blobs":[)" + whole + "]}", index},
      {fmt::format(R"({{"fsLayers":[{{"blobSum":"{}"}}]}})", large_.to_string()), index},
  };
  const auto bob = with("Bearer bob");
  const auto ask = [&](const Digest& named) {
    ASSERT_EQ(bench_.get("/v2/mine/manifests/" + named.to_string() + "?ns=reg.test", bob).status, 200);
    EXPECT_TRUE(bench_.get(blob(large_, "mine") + "?ns=reg.test", bob).is(404, "BLOB_UNKNOWN"));
  };
  for (const auto& [text, type] : manifests) {
    SCOPED_TRACE(text);
    ask(bench_.site.add_manifest("mine", text, {}, type));
  }
  // Its bytes may be here as another registry's, which calls them something else.
  const auto text = R"({"schemaVersion":2,"layers":[)" + whole + "]}";
  const auto named = bench_.other.add_manifest("mine", text, {}, image);
  ASSERT_EQ(bench_.get("/v2/mine/manifests/" + named.to_string() + "?ns=other.test").status, 200);
  ask(bench_.site.add_manifest("mine", text, {}, index));
}

// Nor through another registry that has the same names.
TEST_F(ServiceAccessTest, OneRegistryIsNoWayIntoAnother) {
  pull_as_alice();
  bench_.other["secret"];
  EXPECT_EQ(bench_.get(blob(small_) + "?ns=other.test").status, 404);
  EXPECT_EQ(bench_.get(manifest() + "?ns=other.test", with("Bearer alice")).status, 404);
}

// A request that names no registry is led by digest memory, and authorised there as anywhere.
TEST_F(ServiceAccessTest, DigestMemoryAuthorisesNothing) {
  bench_.config.client.default_registry = "other.test";
  bench_.apply();
  ASSERT_EQ(bench_.get(manifest() + "?ns=reg.test", with("Bearer alice")).status, 200);
  ASSERT_EQ(bench_.get(blob(small_) + "?ns=reg.test", with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(blob(small_)).status, 401);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer bob")).status, 401);
}

// Within its time a grant needs no further question; after access_ttl upstream is asked again.
TEST_F(ServiceAccessTest, GrantEndsAtAccessTtl) {
  pull_as_alice();
  const auto asked = bench_.site.requests();
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(blob(large_), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.site.requests(), asked);
  bench_.site.change([&] { bench_.site["secret"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 200);
  bench_.clock().advance(5min);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 401);
  EXPECT_EQ(bench_.get(blob(large_), with("Bearer alice")).status, 401);
  EXPECT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 401);
}

// A JWT that expires earlier ends its grant earlier.
TEST_F(ServiceAccessTest, GrantEndsWithTheToken) {
  const auto until = std::chrono::duration_cast<std::chrono::seconds>((bench_.clock().wall() + 30s).time_since_epoch());
  const auto token = "Bearer e30." + base64_encode(fmt::format(R"({{"exp":{}}})", until.count())) + ".c2ln";
  bench_.site["secret"].readers = {token};
  EXPECT_EQ(bench_.get(blob(small_), with(token)).status, 200);
  bench_.site.change([&] { bench_.site["secret"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get(blob(small_), with(token)).status, 200);
  bench_.clock().advance(31s);
  EXPECT_EQ(bench_.get(blob(small_), with(token)).status, 401);
}

// A refusal anywhere ends the grant everywhere in the repository.
TEST_F(ServiceAccessTest, RefusalRevokes) {
  pull_as_alice();
  bench_.site.change([&] { bench_.site["secret"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get("/v2/secret/tags/list", with("Bearer alice")).status, 401);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 401);
  EXPECT_EQ(bench_.get(blob(large_), with("Bearer alice")).status, 401);
}

// A store of objects that upstream sends us to and that refuses: it does not end the grant, and the client's credential
// is not for it.
TEST_F(ServiceAccessTest, ARefusalElsewhereIsNoneOfUpstream) {
  ASSERT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 200);
  const auto unnamed = bench_.site.add_blob("secret", "one more");
  bench_.other["secret"].readers = {"Bearer carol"};
  bench_.site.set({.no_head_of_blobs = true, .blobs_at = bench_.other.url()});
  for (const auto& digest : {small_, unnamed}) {
    const auto got = bench_.get(blob(digest), with("Bearer alice"));
    EXPECT_TRUE(got.is(503, "UNAVAILABLE")) << got.status << got.body;
    EXPECT_FALSE(got.headers.find("WWW-Authenticate"));
    const auto asked = bench_.site.requests();
    EXPECT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 200);
    EXPECT_EQ(bench_.site.requests(), asked);
  }
}

// A public repository that becomes private: the next refusal ends the anonymous grant for good.
TEST_F(ServiceAccessTest, RefusalRevokesTheAnonymousGrant) {
  const auto target = "/v2/public/manifests/" + public_manifest_.to_string();
  ASSERT_EQ(bench_.get(target).status, 200);
  bench_.site.change([&] { bench_.site["public"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get("/v2/public/tags/list").status, 401);
  EXPECT_EQ(bench_.get(target).status, 401);
  bench_.restart();
  EXPECT_EQ(bench_.get(target).status, 401);
}

// With upstream down, what was granted and is here is served, for whom it was granted; the rest is 503, not 401 or 404.
TEST_F(ServiceAccessTest, OutageServesWhatWasGranted) {
  pull_as_alice();
  const auto open = "/v2/public/manifests/" + public_manifest_.to_string();
  ASSERT_EQ(bench_.get(open).status, 200);
  bench_.site.set({.down = 503});
  EXPECT_EQ(bench_.get(open).status, 200);
  EXPECT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).body, "a small private blob");
  EXPECT_EQ(bench_.get(blob(large_), with("Bearer alice")).body.size(), kMiB);
  for (const auto& target : {manifest(), blob(small_), blob(large_), std::string("/v2/secret/manifests/v1")}) {
    const auto answer = bench_.get(target, with("Bearer bob"));
    EXPECT_TRUE(answer.is(503, "UNAVAILABLE")) << target << ' ' << answer.status;
    EXPECT_FALSE(answer.headers.find("WWW-Authenticate"));
  }
}

// The anonymous grant lasts through restart and outage, however long.
TEST_F(ServiceAccessTest, AnonymousGrantOutlivesRestartAndOutage) {
  const auto target = "/v2/public/manifests/" + public_manifest_.to_string();
  ASSERT_EQ(bench_.get(target).status, 200);
  bench_.restart();
  bench_.site.set({.down = 500});
  bench_.clock().advance(24h * 30);
  EXPECT_EQ(bench_.get(target).status, 200);
}

// With `node`, the node's credential is used upstream, the client's is ignored, and everybody may read what it reads;
// this lasts through an outage.
TEST_F(ServiceAccessTest, NodeCredentialServesAll) {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("oxbow-password-{}", ::getpid());
  std::FILE* out = std::fopen(file.c_str(), "w");
  std::fputs("pw", out);
  std::fclose(out);
  bench_.registry().credentials = config::Credentials::kNode;
  bench_.registry().credential_source.username = "node";
  bench_.registry().credential_source.password_file = file;
  bench_.site["secret"].readers = {"Bearer of-the-node"};
  bench_.site.server().script([&](const upstream::testing::Seen& seen) {
    using upstream::testing::Reply;
    if (seen.path() == "/token") {
      return Reply{.status = seen.header("authorization") == "Basic bm9kZTpwdw==" ? 200 : 401,
                   .body = R"({"token":"of-the-node","expires_in":300})"};
    }
    if (seen.header("authorization") != "Bearer of-the-node") {
      return Reply{.status = 401, .headers = {{"WWW-Authenticate", bench_.site.challenge("secret")}}};
    }
    return Reply{.headers = {{"Docker-Content-Digest", small_.to_string()}}, .body = "a small private blob"};
  });
  bench_.apply();
  EXPECT_EQ(bench_.get(blob(small_)).body, "a small private blob");
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer bob")).status, 200);
  for (const auto& seen : bench_.site.server().seen()) EXPECT_NE(seen.header("authorization"), "Bearer bob");
  bench_.site.server().script([](const upstream::testing::Seen&) { return upstream::testing::Reply{.status = 500}; });
  bench_.restart();
  EXPECT_EQ(bench_.get(blob(small_)).body, "a small private blob");
  std::filesystem::remove(file);
}

// A registry without HEAD: refusals there revoke and carry the challenge as well, and success grants.
TEST_F(ServiceAccessTest, WithoutHeadAccessIsTheSame) {
  bench_.site.set({.no_head_of_blobs = true});
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).body, "a small private blob");
  EXPECT_EQ(bench_.get(blob(large_), with("Bearer alice")).body.size(), kMiB);
  const auto refused = bench_.get(blob(large_), with("Bearer bob"));
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.header("WWW-Authenticate"), bench_.site.challenge("secret"));
  // Another blob's refusal ends alice's grant.
  const auto next = bench_.site.add_blob("secret", "one more");
  bench_.site.change([&] { bench_.site["secret"].readers = {"Bearer carol"}; });
  EXPECT_EQ(bench_.get(blob(next), with("Bearer alice")).status, 401);
  EXPECT_EQ(bench_.get(blob(small_), with("Bearer alice")).status, 401);
}

// Cached manifests at a registry that has no HEAD for them: GET decides.
TEST_F(ServiceAccessTest, ManifestsWithoutHead) {
  bench_.site["secret"].readers = {"Bearer alice", "Bearer carol"};
  bench_.site.set({.no_head_of_manifests = true});
  ASSERT_EQ(bench_.get(manifest(), with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(manifest(), with("Bearer carol")).status, 200);
  EXPECT_EQ(bench_.get(manifest(), with("Bearer bob")).status, 401);
}

}  // namespace
}  // namespace oxbow::mirror

// Which registry a request means, and what is answered without asking anybody.
#include <gtest/gtest.h>

#include "service_bench.h"

namespace oxbow::mirror {
namespace {

class ServiceRouteTest : public ::testing::Test {
 protected:
  ServiceRouteTest() {
    bench_.site.add_blob("app", "from reg");
    bench_.other.add_blob("app", "from other");
    reg_manifest_ = bench_.site.add_manifest("app", manifest_of({}), "v1");
    other_manifest_ = bench_.other.add_manifest("app", manifest_of({{Digest::sha256("x"), 1}}), "v1");
  }
  std::string served_by(const std::string& target) {
    const auto digest = bench_.get(target).header("Docker-Content-Digest");
    if (digest == reg_manifest_.to_string()) return "reg";
    return digest == other_manifest_.to_string() ? "other" : "none";
  }

  ServiceBench bench_;
  Digest reg_manifest_ = Digest::sha256("");
  Digest other_manifest_ = Digest::sha256("");
};

// `/v2/` is 200 for everybody: a mirror never challenges on the ping.
TEST_F(ServiceRouteTest, Base) {
  EXPECT_EQ(bench_.get("/v2/").status, 200);
  EXPECT_EQ(bench_.get("/v2").status, 200);
  EXPECT_FALSE(bench_.head("/v2/").has_body);
  EXPECT_EQ(bench_.get("/ping").status, 200);
  EXPECT_EQ(bench_.site.requests(), 0U);
}

// ns, then the path, then the default; aliases mean their registry; ns beats the path.
TEST_F(ServiceRouteTest, ChoosesTheRegistry) {
  EXPECT_EQ(served_by("/v2/app/manifests/v1"), "reg");
  EXPECT_EQ(served_by("/v2/app/manifests/v1?ns=reg.test"), "reg");
  EXPECT_EQ(served_by("/v2/app/manifests/v1?ns=alias.test"), "reg");
  EXPECT_EQ(served_by("/v2/app/manifests/v1?ns=other.test"), "other");
  EXPECT_EQ(served_by("/v2/other.test/app/manifests/v1"), "other");
  EXPECT_EQ(served_by("/v2/alias.test/app/manifests/v1"), "reg");
  EXPECT_EQ(served_by("/v2/app/manifests/v1?ns=OTHER.test"), "other");
}

// ns comes back in OCI-Namespace, on success and failure, and nothing can be smuggled into the header with it.
TEST_F(ServiceRouteTest, EchoesTheNamespace) {
  EXPECT_EQ(bench_.get("/v2/app/manifests/v1?ns=other.test").header("OCI-Namespace"), "other.test");
  EXPECT_EQ(bench_.get("/v2/app/manifests/none?ns=alias.test").header("OCI-Namespace"), "alias.test");
  EXPECT_FALSE(bench_.get("/v2/app/manifests/v1").headers.find("OCI-Namespace"));
  const auto odd = bench_.get("/v2/app/manifests/v1?ns=a%0d%0aSet-Cookie:%20x");
  EXPECT_EQ(odd.status, 404);
  EXPECT_EQ(odd.header("OCI-Namespace").find_first_of("\r\n"), std::string::npos);
}

// A registry that is not configured is 404, never another registry's content, and is not talked to.
TEST_F(ServiceRouteTest, UnknownRegistryIs404) {
  EXPECT_TRUE(bench_.get("/v2/app/manifests/v1?ns=evil.test").is(404, "NAME_UNKNOWN"));
  EXPECT_TRUE(
      bench_.get("/v2/app/blobs/" + Digest::sha256("from reg").to_string() + "?ns=evil.test").is(404, "NAME_UNKNOWN"));
  EXPECT_TRUE(bench_.get("/v2/app/manifests/v1?ns=127.0.0.1:" + std::to_string(bench_.other.server().port()))
                  .is(404, "NAME_UNKNOWN"));
  EXPECT_EQ(bench_.site.requests() + bench_.other.requests(), 0U);
  bench_.config.client.default_registry.clear();
  bench_.apply();
  EXPECT_TRUE(bench_.get("/v2/app/manifests/v1").is(404, "NAME_UNKNOWN"));
}

// A digest that was seen at a registry leads a request without a name there; an unseen one goes to the default.
TEST_F(ServiceRouteTest, DigestMemoryLeads) {
  const auto target = "/v2/app/blobs/" + Digest::sha256("from other").to_string();
  EXPECT_EQ(bench_.get(target).status, 404);
  EXPECT_EQ(bench_.get(target + "?ns=other.test").body, "from other");
  EXPECT_EQ(bench_.get(target).body, "from other");
  EXPECT_EQ(bench_.get("/v2/app/blobs/" + Digest::sha256("from reg").to_string()).body, "from reg");
  bench_.restart();
  EXPECT_EQ(bench_.get(target).body, "from other");
  // It knows the repository too: another one's name is not led there.
  EXPECT_EQ(bench_.get("/v2/else/blobs/" + Digest::sha256("from other").to_string()).status, 404);
}

// Seen at the default too, it is the default's; and where several could be meant, nobody gets the credential.
TEST_F(ServiceRouteTest, DigestMemoryLeadsNoCredentialAstray) {
  const auto shared = "/v2/app/blobs/" + bench_.site.add_blob("app", "from both").to_string();
  bench_.other.add_blob("app", "from both");
  const auto alone = "/v2/app/blobs/" + Digest::sha256("from other").to_string();
  bench_.site["app"].readers = {"Bearer alice", "Bearer dave"};
  bench_.other["app"].readers = {"Bearer carol", "Bearer frank"};
  const auto saw = [](Site& site, std::string_view credential) {
    return std::ranges::any_of(site.server().seen(),
                               [&](const auto& seen) { return seen.header("authorization") == credential; });
  };
  ASSERT_EQ(bench_.get(shared + "?ns=reg.test", with("Bearer alice")).status, 200);
  for (const auto& target : {shared, alone})
    ASSERT_EQ(bench_.get(target + "?ns=other.test", with("Bearer carol")).status, 200);
  EXPECT_EQ(bench_.get(shared, with("Bearer dave")).body, "from both");
  EXPECT_TRUE(saw(bench_.site, "Bearer dave"));
  EXPECT_FALSE(saw(bench_.other, "Bearer dave"));
  bench_.config.client.default_registry.clear();
  bench_.apply();
  EXPECT_TRUE(bench_.get(shared, with("Bearer erin")).is(404, "NAME_UNKNOWN"));
  EXPECT_FALSE(saw(bench_.site, "Bearer erin") || saw(bench_.other, "Bearer erin"));
  EXPECT_EQ(bench_.get(alone, with("Bearer frank")).body, "from other");
  EXPECT_TRUE(saw(bench_.other, "Bearer frank"));
}

// What the filters refuse is 403 and no question to upstream, by whatever way the repository is named.
TEST_F(ServiceRouteTest, Filters) {
  bench_.registry().allow = {"app", "team/*"};
  bench_.registry().deny = {"team/secret*"};
  bench_.apply();
  EXPECT_EQ(bench_.get("/v2/app/manifests/v1").status, 200);
  const auto asked = bench_.site.requests();
  for (const auto* refused : {"/v2/other/manifests/v1", "/v2/team/secret/manifests/v1", "/v2/team/secrets/tags/list",
                              "/v2/reg.test/team/secret/manifests/v1", "/v2/team/secret/manifests/v1?ns=alias.test"}) {
    EXPECT_TRUE(bench_.get(refused).is(403, "DENIED")) << refused;
  }
  EXPECT_TRUE(bench_.get("/v2/x/blobs/" + Digest::sha256("from reg").to_string()).is(403, "DENIED"));
  EXPECT_EQ(bench_.site.requests(), asked);
}

// A reload changes the rules for the requests that follow.
TEST_F(ServiceRouteTest, ReloadSwapsTheRegistries) {
  EXPECT_EQ(bench_.get("/v2/app/manifests/v1").status, 200);
  bench_.registry().deny = {"*"};
  bench_.apply();
  EXPECT_EQ(bench_.get("/v2/app/manifests/v1").status, 403);
}

// Push verbs are 405 UNSUPPORTED, whatever they are sent to, and name what is allowed.
TEST_F(ServiceRouteTest, PushIsUnsupported) {
  using http::Method;
  const std::pair<Method, std::string> pushes[] = {
      {Method::kPost, "/v2/app/blobs/uploads/"},
      {Method::kPatch, "/v2/app/blobs/uploads/1"},
      {Method::kPut, "/v2/app/manifests/v1"},
      {Method::kDelete, "/v2/app/manifests/v1"},
      {Method::kDelete, "/v2/app/blobs/" + Digest::sha256("from reg").to_string()},
      {Method::kPut, "/v2/app/manifests/v1?ns=evil.test"},
      {Method::kGet, "/v2/app/blobs/uploads/1"},
  };
  for (const auto& [method, target] : pushes) {
    const auto answer = bench_.start(target, {}, method).get();
    EXPECT_TRUE(answer.is(405, "UNSUPPORTED")) << http::to_string(method) << ' ' << target << ' ' << answer.status;
    EXPECT_FALSE(answer.header("Allow").empty());
  }
  EXPECT_EQ(bench_.site.requests(), 0U);
}

// Bad names, tags and digests are a clean 4xx with an OCI code; upstream never sees them.
TEST_F(ServiceRouteTest, BadInput) {
  for (const auto* bad :
       {"/v2/app/manifests/sha256:baddigeststring", "/v2/app/blobs/sha256:00", "/v2/app/blobs/none",
        "/v2/app/manifests/.bad", "/v2/app/manifests/%2e%2e", "/v2/app/referrers/none", "/v2/a%0ab/manifests/v1",
        "/v2/../app/manifests/v1", "/v2/app/../secret/manifests/v1", "/v2//manifests/v1", "/v2/app//tags/list",
        "/v2/app/blobs/blake3:0000000000000000000000000000000000000000000000000000000000000000", "/v2/app", "/", "/x",
        "/v2/app/tags/list?n=abc"}) {
    const auto answer = bench_.get(bad);
    EXPECT_TRUE(answer.status == 400 || answer.status == 404) << bad << ' ' << answer.status;
    EXPECT_TRUE(answer.body.contains("\"errors\"")) << bad;
  }
  EXPECT_EQ(bench_.site.requests(), 0U);
}

// Every request is counted once, by route and status.
TEST_F(ServiceRouteTest, Counts) {
  bench_.get("/v2/app/manifests/v1");
  bench_.head("/v2/app/manifests/v1");
  bench_.get("/v2/app/manifests/none");
  EXPECT_EQ(bench_.scratch.metric("oxbow_client_requests_total{code=\"200\",route=\"manifest\"}"), "2");
  EXPECT_EQ(bench_.scratch.metric("oxbow_client_requests_total{code=\"404\",route=\"manifest\"}"), "1");
}

}  // namespace
}  // namespace oxbow::mirror

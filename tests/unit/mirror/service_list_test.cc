// Tag lists and referrers through the whole service.
#include <gtest/gtest.h>

#include "service_bench.h"

namespace oxbow::mirror {
namespace {

constexpr auto kIndexType = "application/vnd.oci.image.index.v1+json";

std::string index_of(const std::vector<std::string>& artifact_types) {
  std::string text = std::string(R"({"schemaVersion":2,"mediaType":")") + kIndexType + R"(","manifests":[)";
  for (bool first = true; const auto& type : artifact_types) {
    text += fmt::format(R"({}{{"mediaType":"m","size":3,"digest":"{}","artifactType":"{}"}})", first ? "" : ",",
                        Digest::sha256(type).to_string(), type);
    first = false;
  }
  return text + "]}";
}

class ServiceListTest : public ::testing::Test {
 protected:
  ServiceListTest() {
    for (const auto* tag : {"b", "a", "v1.10", "v1.9", "latest"}) bench_.site.add_manifest("app", manifest_of({}), tag);
  }
  std::string referrers(const std::string& query = {}) const {
    return "/v2/app/referrers/" + subject_.to_string() + query;
  }

  ServiceBench bench_;
  Digest subject_ = Digest::sha256("subject");
};

// The list is complete and in order, whatever upstream's order and page size.
TEST_F(ServiceListTest, TagsAreGatheredAndSorted) {
  for (const auto page : {std::optional<std::size_t>(), std::optional<std::size_t>(2), std::optional<std::size_t>(1)}) {
    bench_.site.set({.page = page});
    const auto got = bench_.get("/v2/app/tags/list");
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.header("Content-Type"), "application/json");
    EXPECT_TRUE(got.body.contains(R"("name":"app")")) << got.body;
    EXPECT_TRUE(got.body.contains(R"(["a","b","latest","v1.10","v1.9"])")) << got.body;
    EXPECT_FALSE(got.headers.find("Link"));
  }
}

// Paging by n and last; Link leads to the next page here, and keeps ns.
TEST_F(ServiceListTest, TagsArePaged) {
  const auto first = bench_.get("/v2/app/tags/list?n=2&ns=reg.test");
  EXPECT_TRUE(first.body.contains(R"(["a","b"])")) << first.body;
  auto link = first.header("Link");
  ASSERT_TRUE(link.starts_with("</v2/app/tags/list?")) << link;
  EXPECT_TRUE(link.contains("ns=reg.test"));
  EXPECT_TRUE(link.contains("rel=\"next\""));
  std::string all = first.body;
  int pages = 1;
  while (!link.empty() && pages < 10) {
    const auto next = bench_.get(link.substr(1, link.find('>') - 1));
    EXPECT_EQ(next.status, 200);
    all += next.body;
    link = next.header("Link");
    ++pages;
  }
  EXPECT_EQ(pages, 3);
  for (const auto* tag : {"\"latest\"", "\"v1.10\"", "\"v1.9\""}) EXPECT_TRUE(all.contains(tag));
  const auto none = bench_.get("/v2/app/tags/list?n=0");
  EXPECT_TRUE(none.body.contains(R"("tags":[])")) << none.body;
  EXPECT_FALSE(none.headers.find("Link"));
  EXPECT_TRUE(bench_.get("/v2/app/tags/list?last=latest").body.contains(R"(["v1.10","v1.9"])"));
}

// An unknown repository is NAME_UNKNOWN; a list that is none is upstream's fault.
TEST_F(ServiceListTest, TagsOfNothing) {
  EXPECT_TRUE(bench_.get("/v2/none/tags/list").is(404, "NAME_UNKNOWN"));
  bench_.site.server().script([](const upstream::testing::Seen&) {
    return upstream::testing::Reply{.body = "<html>welcome</html>"};
  });
  EXPECT_EQ(bench_.get("/v2/app/tags/list").status, 502);
}

// A registry whose pages lead in a circle does not keep a request for ever.
TEST_F(ServiceListTest, TagPagesInACircle) {
  bench_.site.server().script([turn = 0](const upstream::testing::Seen&) mutable {
    return upstream::testing::Reply{
        .headers = {{"Link", fmt::format("</v2/app/tags/list?last={}>; rel=\"next\"", ++turn % 2)}},
        .body = R"({"name":"app","tags":["x"]})"};
  });
  const auto got = bench_.get("/v2/app/tags/list");
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.body.contains(R"(["x"])"));
}

// Referrers by the API of upstream; filtered here when asked, and said so.
TEST_F(ServiceListTest, ReferrersByApi) {
  bench_.site.set({.no_referrers_api = false});
  bench_.site["app"].referrers[subject_.to_string()] = index_of({"sig", "sbom", "sig2"});
  const auto all = bench_.get(referrers());
  EXPECT_EQ(all.status, 200);
  EXPECT_EQ(all.header("Content-Type"), kIndexType);
  EXPECT_TRUE(all.body.contains("sbom"));
  EXPECT_FALSE(all.headers.find("OCI-Filters-Applied"));
  const auto some = bench_.get(referrers("?artifactType=sig"));
  EXPECT_EQ(some.header("OCI-Filters-Applied"), "artifactType");
  EXPECT_TRUE(some.body.contains("\"sig\""));
  EXPECT_FALSE(some.body.contains("sbom"));
  EXPECT_FALSE(some.body.contains("sig2"));
}

// A registry without the API: what stands under the fallback tag.
TEST_F(ServiceListTest, ReferrersByFallbackTag) {
  bench_.site.add_manifest("app", index_of({"sig", "sbom"}), "sha256-" + subject_.hex(), kIndexType);
  const auto got = bench_.get(referrers("?artifactType=sbom"));
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.header("Content-Type"), kIndexType);
  EXPECT_TRUE(got.body.contains("\"sbom\""));
  EXPECT_FALSE(got.body.contains("\"sig\""));
}

// Nothing attached, or an unknown digest: 200 with an empty index, with the API and without.
TEST_F(ServiceListTest, NoReferrersAreAnEmptyIndex) {
  for (const bool without_api : {true, false}) {
    bench_.site.set({.no_referrers_api = without_api});
    const auto got = bench_.get(referrers());
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.header("Content-Type"), kIndexType);
    EXPECT_TRUE(got.body.contains("\"manifests\":[]")) << got.body;
  }
}

// A page for people in place of an index is as good as no API.
TEST_F(ServiceListTest, ReferrersThatAreNoIndex) {
  bench_.site.set({.no_referrers_api = false});
  bench_.site["app"].referrers[subject_.to_string()] = "<html></html>";
  EXPECT_TRUE(bench_.get(referrers()).body.contains("\"manifests\":[]"));
}

// The same under the fallback tag: it is no index, so nobody is told that it is one.
TEST_F(ServiceListTest, FallbackTagThatIsNoIndex) {
  bench_.site.add_manifest("app", manifest_of({}), "sha256-" + subject_.hex());
  const auto got = bench_.get(referrers());
  EXPECT_TRUE(got.status == 502 || got.body.contains("\"manifests\":[]")) << got.status << got.body;
}

// Pages of referrers: following Link gives all of them, once, and comes to an end.
TEST_F(ServiceListTest, ReferrersArePaged) {
  const std::vector<std::string> types = {"one", "two", "three"};
  bench_.site.server().script([&](const upstream::testing::Seen& seen) {
    std::size_t page = 0;
    if (const auto at = seen.query().find("page="); at != std::string::npos) page = seen.query()[at + 5] - '0';
    upstream::testing::Reply reply{.headers = {{"Content-Type", kIndexType}}, .body = index_of({types[page]})};
    if (page < 2) {
      reply.headers.emplace_back("Link", fmt::format("</v2/app/referrers/{}?page={}>; rel=\"next\"",
                                                     subject_.to_string(), page + 1));
    }
    return reply;
  });
  std::string all;
  std::string target = referrers("?ns=reg.test");
  int pages = 0;
  while (!target.empty() && pages < 10) {
    const auto got = bench_.get(target);
    ASSERT_EQ(got.status, 200);
    all += got.body;
    ++pages;
    const auto link = got.header("Link");
    target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
    if (!target.empty()) EXPECT_TRUE(target.contains("ns=reg.test")) << target;
  }
  EXPECT_LE(pages, 3);
  for (const auto& type : types) {
    const auto at = all.find("\"artifactType\":\"" + type);
    ASSERT_NE(at, std::string::npos) << type;
    EXPECT_EQ(all.find("\"artifactType\":\"" + type, at + 1), std::string::npos) << type;
  }
}

// A filter holds on every page.
TEST_F(ServiceListTest, FilterHoldsOnEveryPage) {
  bench_.site.server().script([&](const upstream::testing::Seen& seen) {
    const bool second = seen.query().contains("page=1");
    upstream::testing::Reply reply{.headers = {{"Content-Type", kIndexType}},
                                   .body = index_of({"sig", second ? "second" : "first"})};
    if (!second) {
      reply.headers.emplace_back("Link",
                                 fmt::format("</v2/app/referrers/{}?page=1>; rel=\"next\"", subject_.to_string()));
    }
    return reply;
  });
  std::string target = referrers("?artifactType=sig");
  for (int pages = 0; !target.empty() && pages < 5; ++pages) {
    const auto got = bench_.get(target);
    EXPECT_EQ(got.header("OCI-Filters-Applied"), "artifactType");
    EXPECT_TRUE(got.body.contains("\"sig\""));
    EXPECT_FALSE(got.body.contains("\"first\"") || got.body.contains("\"second\"")) << got.body;
    const auto link = got.header("Link");
    target = link.empty() ? "" : link.substr(1, link.find('>') - 1);
  }
}

// An outage is no "no referrers".
TEST_F(ServiceListTest, OutageIs503) {
  bench_.site.set({.down = 500});
  EXPECT_EQ(bench_.get(referrers()).status, 503);
  EXPECT_EQ(bench_.get("/v2/app/tags/list").status, 503);
}

}  // namespace
}  // namespace oxbow::mirror

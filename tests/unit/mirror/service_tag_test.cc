// Tags through the whole service: freshness, its price at upstream, and what happens while upstream fails.
#include <gtest/gtest.h>

#include "service_bench.h"

namespace oxbow::mirror {
namespace {

using namespace std::chrono_literals;

constexpr auto kTag = "/v2/app/manifests/v1";

class ServiceTagTest : public ::testing::Test {
 protected:
  ServiceTagTest() { first_ = bench_.site.add_manifest("app", manifest_of({}), "v1"); }
  /// Moves the tag.
  Digest move() { return bench_.site.add_manifest("app", manifest_of({{Digest::sha256("layer"), 5}}), "v1"); }

  ServiceBench bench_;
  Digest first_ = Digest::sha256("");
};

// A tag costs one HEAD, its manifest one GET; within the TTL neither is asked again.
TEST_F(ServiceTagTest, KeptForTheTtl) {
  EXPECT_EQ(bench_.head(kTag).header("Docker-Content-Digest"), first_.to_string());
  EXPECT_EQ(bench_.site.count("HEAD"), 1U);
  EXPECT_EQ(bench_.site.count("GET"), 1U);
  move();
  bench_.clock().advance(4'999ms);
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), first_.to_string());
  EXPECT_EQ(bench_.site.requests(), 2U);
}

// After the TTL one HEAD says whether the tag has moved; an unmoved tag costs no GET, which registries count.
TEST_F(ServiceTagTest, RevalidatedByHead) {
  bench_.get(kTag);
  for (int i = 0; i < 3; ++i) {
    bench_.clock().advance(5s);
    EXPECT_EQ(bench_.get(kTag).status, 200);
  }
  EXPECT_EQ(bench_.site.count("HEAD"), 4U);
  EXPECT_EQ(bench_.site.count("GET"), 1U);
  const auto second = move();
  bench_.clock().advance(5s);
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), second.to_string());
  EXPECT_EQ(bench_.site.count("GET"), 2U);
}

// A TTL of 0 asks every time.
TEST_F(ServiceTagTest, ZeroTtlAsksEveryTime) {
  bench_.registry().tag_ttl = 0ms;
  bench_.apply();
  bench_.get(kTag);
  bench_.get(kTag);
  EXPECT_EQ(bench_.site.count("HEAD"), 2U);
}

// 50 at once, on two loops: one HEAD and one GET for all of them.
TEST_F(ServiceTagTest, OneQuestionForMany) {
  std::promise<void> gate;
  auto opened = gate.get_future().share();
  bench_.site.server().script([&, body = manifest_of({})](const upstream::testing::Seen& seen) {
    if (seen.method == "HEAD") opened.wait();
    return upstream::testing::Reply{.headers = {{"Docker-Content-Digest", first_.to_string()},
                                                {"Content-Type", "application/vnd.oci.image.manifest.v1+json"}},
                                    .body = body};
  });
  std::vector<std::future<Answer>> askers;
  for (std::size_t i = 0; i < 50; ++i) askers.push_back(bench_.start(kTag, {}, http::Method::kGet, i % 2));
  for (int round = 0; round < 6; ++round) {
    bench_.scratch.on_loop([] {}, 0);
    bench_.scratch.on_loop([] {}, 1);
  }
  gate.set_value();
  for (auto& asker : askers) EXPECT_EQ(asker.get().status, 200);
  EXPECT_EQ(bench_.site.count("HEAD"), 1U);
  EXPECT_LE(bench_.site.count("GET"), 2U) << "one, or one more of those that came after the first had ended";
}

// While upstream fails, the tag is served as it was, with a Warning; after stale_if_error no more.
TEST_F(ServiceTagTest, StaleWhileUpstreamFails) {
  EXPECT_FALSE(bench_.get(kTag).headers.find("Warning"));
  for (const int status : {500, 502, 503, 504}) {
    bench_.site.set({.down = status});
    bench_.clock().advance(1h);
    const auto stale = bench_.get(kTag);
    EXPECT_EQ(stale.status, 200) << status;
    EXPECT_EQ(stale.header("Docker-Content-Digest"), first_.to_string());
    EXPECT_TRUE(stale.header("Warning").starts_with("11")) << stale.header("Warning");
  }
  EXPECT_NE(bench_.scratch.metric("oxbow_tags_stale_served_total"), "0");
  bench_.clock().advance(20h);
  EXPECT_TRUE(bench_.get(kTag).is(503, "UNAVAILABLE"));
  bench_.site.set({});
  bench_.clock().advance(1h);
  EXPECT_FALSE(bench_.get(kTag).headers.find("Warning"));
}

// Also after a restart in the middle of the outage, and also when nobody listens any more.
TEST_F(ServiceTagTest, StaleAfterRestart) {
  bench_.get(kTag);
  bench_.restart();
  bench_.registry().upstreams = {fmt::format("http://127.0.0.1:{}", upstream::testing::closed_port())};
  bench_.apply();
  bench_.clock().advance(1h);
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), first_.to_string());
}

// With stale_if_error = 0 a failure is a failure.
TEST_F(ServiceTagTest, NoStaleWhenSwitchedOff) {
  bench_.registry().stale_if_error = 0ms;
  bench_.apply();
  bench_.get(kTag);
  bench_.site.set({.down = 503});
  bench_.clock().advance(5s);
  EXPECT_EQ(bench_.get(kTag).status, 503);
}

// Stale tags are for those who were granted; others get no answer from memory.
TEST_F(ServiceTagTest, StaleOnlyForTheGranted) {
  bench_.site["app"].readers = {"Bearer alice"};
  ASSERT_EQ(bench_.get(kTag, with("Bearer alice")).status, 200);
  bench_.site.set({.down = 503});
  bench_.clock().advance(10s);
  EXPECT_EQ(bench_.get(kTag, with("Bearer alice")).status, 200);
  EXPECT_EQ(bench_.get(kTag, with("Bearer bob")).status, 503);
  EXPECT_EQ(bench_.get(kTag).status, 503);
}

// Upstream's own word that the tag is gone is no failure: it is passed on and remembered.
TEST_F(ServiceTagTest, NotFoundForgets) {
  bench_.get(kTag);
  bench_.site.change([&] { bench_.site["app"].tags.clear(); });
  bench_.clock().advance(5s);
  EXPECT_TRUE(bench_.get(kTag).is(404, "MANIFEST_UNKNOWN"));
  bench_.site.set({.down = 503});
  EXPECT_EQ(bench_.get(kTag).status, 503);
  bench_.restart();
  EXPECT_EQ(bench_.get(kTag).status, 503);
}

// A registry whose HEAD names no digest, or that has no HEAD at all: GET says it, and its body is kept.
TEST_F(ServiceTagTest, GetWhenHeadDoesNotTell) {
  bench_.site.set({.no_digest = true});
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), first_.to_string());
  EXPECT_EQ(bench_.site.count("GET"), 1U);
  bench_.site.set({.no_head_of_manifests = true});
  const auto second = move();
  bench_.clock().advance(5s);
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), second.to_string());
  EXPECT_EQ(bench_.site.count("GET"), 2U);
}

// Accept lists an index first and everything else, so that upstream never converts what it has.
TEST_F(ServiceTagTest, AsksForEverything) {
  bench_.get(kTag, {{"Accept", "application/vnd.docker.distribution.manifest.v2+json"}});
  for (const auto& seen : bench_.site.server().seen()) {
    EXPECT_TRUE(seen.header("accept").contains("application/vnd.oci.image.index.v1+json"));
    EXPECT_TRUE(seen.header("accept").contains("*/*"));
  }
}

// Upstream's 429 never reaches a client: stale if there is something, else 503 with the time to wait.
TEST_F(ServiceTagTest, ThrottledIsNever429) {
  bench_.get(kTag);
  bench_.site.server().script([](const upstream::testing::Seen&) {
    return upstream::testing::Reply{.status = 429, .headers = {{"Retry-After", "60"}}};
  });
  bench_.clock().advance(5s);
  EXPECT_EQ(bench_.get(kTag).status, 200);
  const auto other = bench_.get("/v2/app/manifests/other");
  EXPECT_TRUE(other.is(503, "UNAVAILABLE")) << other.status;
  EXPECT_FALSE(other.header("Retry-After").empty());
}

// An identity's question is not answered with another one's refusal, although both come at once.
TEST_F(ServiceTagTest, QuestionsAreSharedOnlyWithinAnIdentity) {
  bench_.site["app"].readers = {"Bearer alice"};
  std::vector<std::future<Answer>> good;
  std::vector<std::future<Answer>> bad;
  for (std::size_t i = 0; i < 10; ++i) {
    bad.push_back(bench_.start(kTag, with("Bearer bob"), http::Method::kGet, i % 2));
    good.push_back(bench_.start(kTag, with("Bearer alice"), http::Method::kGet, i % 2));
  }
  for (auto& answer : good) EXPECT_EQ(answer.get().status, 200);
  for (auto& answer : bad) EXPECT_EQ(answer.get().status, 401);
}

// A clock that ran ahead and was set back: what was validated by it is of no known age, and is asked for again.
TEST_F(ServiceTagTest, AClockThatWasSetBack) {
  bench_.clock().advance(3h);
  bench_.get(kTag);
  bench_.clock().advance(-2h);
  const auto second = move();
  EXPECT_EQ(bench_.get(kTag).header("Docker-Content-Digest"), second.to_string());
  // While upstream fails it is better than nothing.
  bench_.clock().advance(-1h);
  bench_.site.set({.down = 503});
  const auto stale = bench_.get(kTag);
  EXPECT_EQ(stale.header("Docker-Content-Digest"), second.to_string());
  EXPECT_FALSE(stale.header("Warning").empty());
}

}  // namespace
}  // namespace oxbow::mirror

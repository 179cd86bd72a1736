#include "mirror/admin/pulls_routes.h"

#include "admin_site.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

class PullsRoutesTest : public ::testing::Test {
 protected:
  PullsRoutesTest() { add_pulls_routes(site_.routes, journal_); }
  std::shared_ptr<PullLog> begin() {
    return journal_.begin(digest_, Geometry(1'572'864), [](auto stripe) { return stripe == 0; });
  }

  ManualClock clock_;
  PullJournal journal_{clock_};
  AdminSite site_;
  const Digest digest_ = Digest::sha256("a");
};

// Proves: the answer has the keys and values that the page, `oxbow pull` and `oxbow trace` read.
TEST_F(PullsRoutesTest, APullInItsShape) {
  const auto pull = begin();
  pull->reader("docker.io", "library/nginx");
  clock_.advance(std::chrono::milliseconds(12));
  pull->arrived({.stripe = 1,
                 .now = clock_.steady(),
                 .took = std::chrono::milliseconds(7),
                 .upstream = false,
                 .peer = "node-2",
                 .retries = 1,
                 .hedged = true,
                 .check = StripeCheck::kChecksum});
  pull->writing(2);
  auto shape = Json::parse(R"({
    "id": 1, "digest": "", "size_bytes": 1572864, "registry": "docker.io", "repository": "library/nginx",
    "started": "2023-11-14T22:30:00.000Z", "ended": null, "state": "running", "stripes": 3, "stripe_bytes": 524288,
    "done_stripes": 2, "bytes": {"storage": 524288, "peer": 524288, "upstream": 0}, "readers": 1, "retries": 0,
    "hedges": 0, "replaced": 0, "kept": true, "error": null, "map": "dp~", "map_stripes": 1,
    "peers": {"node-2": 524288},
    "events": [{"stripe": 1, "at_ms": 12, "took_ms": 7, "bytes": 524288, "source": "peer", "peer": "node-2",
                "retries": 1, "hedged": true, "verified": "checksum"}],
    "events_dropped": 0})");
  shape["digest"] = digest_.to_string();
  EXPECT_EQ(site_.ask("/api/v1/pulls/" + digest_.to_string()).json(), shape);
  EXPECT_EQ(site_.ask("/api/v1/pulls/1").json(), shape);

  const auto all = site_.ask("/api/v1/pulls").json();
  for (const auto* key : {"map", "map_stripes", "peers", "events", "events_dropped"}) shape.erase(key);
  EXPECT_EQ(all.at("running"), Json::array({shape}));
  EXPECT_EQ(all.at("recent"), Json::array());
  EXPECT_EQ(all.at("since"), "2023-11-14T22:30:00.000Z");
}

TEST_F(PullsRoutesTest, TheNewestComeFirstAndAsManyAsAreAskedFor) {
  for (int i = 0; i < 5; ++i) journal_.end(begin(), PullState::kFailed, "why");
  const auto recent = site_.ask("/api/v1/pulls?limit=2").json().at("recent");
  ASSERT_EQ(recent.size(), 2U);
  EXPECT_EQ(recent[0].at("id"), 5);
  EXPECT_EQ(recent[0].at("state"), "failed");
  EXPECT_EQ(recent[0].at("error"), "why");
  EXPECT_EQ(recent[1].at("id"), 4);
  EXPECT_EQ(site_.ask("/api/v1/pulls?limit=many").status, 400);
}

TEST_F(PullsRoutesTest, WhatIsNotKnownIsSaid) {
  EXPECT_EQ(site_.ask("/api/v1/pulls/7").status, 404);
  EXPECT_NE(site_.ask("/api/v1/pulls/7").error().find("since 2023-11-14T22:30:00.000Z"), std::string::npos);
  EXPECT_EQ(site_.ask("/api/v1/pulls/" + digest_.to_string()).status, 404);
  EXPECT_EQ(site_.ask("/api/v1/pulls/nginx").status, 400);
}

}  // namespace
}  // namespace oxbow::mirror

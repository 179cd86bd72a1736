// What an admin address answers, and to whom.
#include "mirror/admin/admin_service.h"

#include "admin_site.h"
#include "mirror/admin/api_answer.h"
#include "mirror/admin/status_routes.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

class AdminServiceTest : public ::testing::Test {
 protected:
  AdminServiceTest() {
    site_.routes.get("/api/v1/things", [](const ApiCall& call) -> Result<Json> {
      const auto limit = call.number("limit", 7, 100);
      if (!limit) return std::unexpected(limit.error());
      return Json{{"limit", *limit}, {"name", call.option("name").value_or("-")}};
    });
    site_.routes.get("/api/v1/things/{id}", [](const ApiCall& call) -> Result<Json> {
      if (call.parameter == "none") return fail(Errc::kNotFound, "there is no such thing");
      return Json{{"id", call.parameter}};
    });
    site_.routes.get("/api/v1/things/special", [](const ApiCall&) -> Result<Json> { return Json{{"special", true}}; });
    site_.routes.post("/api/v1/things", [](const ApiCall& call) -> Result<Json> {
      const auto digest = call.field("digest");
      if (!digest) return std::unexpected(digest.error());
      return Json{{"changed", *digest}};
    });
  }

  AdminSite site_;
};

// Proves: alive is not ready; ready is what start and drain say.
TEST_F(AdminServiceTest, HealthAndReadiness) {
  EXPECT_EQ(site_.ask("/healthz").status, 200);
  EXPECT_EQ(site_.ask("/readyz").status, 503);
  site_.ready = true;
  EXPECT_EQ(site_.ask("/readyz").status, 200);
  site_.ready = false;
  EXPECT_EQ(site_.ask("/readyz").status, 503);
  EXPECT_EQ(site_.ask("/healthz").status, 200);
}

// Proves: the metrics of all rooms come in the exposition format.
TEST_F(AdminServiceTest, Metrics) {
  counter_family(site_.scratch.metrics(), "oxbow_example_total", "An example").Add({{"label", "x"}}).Increment(3);
  const auto got = site_.ask("/metrics");
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.type.starts_with("text/plain"));
  EXPECT_NE(got.body.find("# TYPE oxbow_example_total counter"), std::string::npos);
  EXPECT_NE(got.body.find("oxbow_example_total{label=\"x\"} 3"), std::string::npos);
  EXPECT_NE(got.body.find("oxbow_storage_bytes"), std::string::npos);
}

// Proves: a route gets the query, the parameter and the body, decoded; a fixed path goes before a parameter.
TEST_F(AdminServiceTest, RoutesGetWhatWasAsked) {
  EXPECT_EQ(site_.ask("/api/v1/things?name=a%2Fb&limit=12").json(), (Json{{"limit", 12}, {"name", "a/b"}}));
  EXPECT_EQ(site_.ask("/api/v1/things").json(), (Json{{"limit", 7}, {"name", "-"}}));
  EXPECT_EQ(site_.ask("/api/v1/things/sha256%3Aab").json().at("id"), "sha256:ab");
  EXPECT_TRUE(site_.ask("/api/v1/things/special").json().at("special").get<bool>());
  EXPECT_EQ(site_.post("/api/v1/things", R"({"digest":"sha256:ab"})").json().at("changed"), "sha256:ab");
  EXPECT_EQ(site_.ask("/api/v1/things").type, "application/json");
}

// Proves: what is wrong with a question is said in plain words, with the status of its kind.
TEST_F(AdminServiceTest, WrongQuestions) {
  EXPECT_EQ(site_.ask("/api/v1/things?limit=101").status, 400);
  EXPECT_EQ(site_.ask("/api/v1/things?limit=x").status, 400);
  EXPECT_EQ(site_.ask("/api/v1/things/none").status, 404);
  EXPECT_EQ(site_.ask("/api/v1/things/none").error(), "there is no such thing");
  EXPECT_EQ(site_.ask("/api/v1/things/%zz").status, 400);
  EXPECT_EQ(site_.ask("/api/v1/things/").status, 404);
  EXPECT_EQ(site_.ask("/v2/").status, 404);
  EXPECT_EQ(site_.ask("/").status, 404);
  for (const auto* body : {"", "{}", R"({"digest":1})", "[]", "{", "\"x\""})
    EXPECT_EQ(site_.post("/api/v1/things", body).status, 400) << body;
  EXPECT_EQ(site_.post("/api/v1/things", std::string(100, '[')).status, 413);
  const auto wrong_method = site_.ask("/api/v1/things", http::Method::kDelete);
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.allow, "GET, POST");
}

// Proves: over TCP nothing changes, whatever the address, and the answer says where changes go.
TEST_F(AdminServiceTest, TcpIsForReading) {
  for (const auto door : {AdminDoor::kLoopback, AdminDoor::kNetwork}) {
    const auto refused = site_.ask("/api/v1/things", http::Method::kPost, R"({"digest":"x"})", door);
    EXPECT_EQ(refused.status, 403);
    EXPECT_NE(refused.error().find("admin.socket"), std::string::npos);
    EXPECT_EQ(site_.ask("/api/v1/things", http::Method::kGet, "", door).status, 200);
  }
}

// Proves: a page of another site, whose name was made to mean 127.0.0.1, reads nothing.
TEST_F(AdminServiceTest, OtherNamesForLoopbackAreRefused) {
  const auto status = [&](const std::string& path, const std::string& host, AdminDoor door) {
    return site_.ask(path, http::Method::kGet, "", door, host).status;
  };
  for (const auto* good : {"localhost", "LOCALHOST:5052", "127.0.0.1:5052", "127.1.2.3", "[::1]:5052", "[::1]", ""})
    EXPECT_EQ(status("/api/v1/things", good, AdminDoor::kLoopback), 200) << good;
  for (const auto* bad :
       {"evil.example", "127.0.0.1.evil.example:5052", "localhost.evil.example", "10.0.0.1", "[::2]"}) {
    EXPECT_EQ(status("/api/v1/things", bad, AdminDoor::kLoopback), 403) << bad;
    EXPECT_EQ(status("/metrics", bad, AdminDoor::kLoopback), 200) << bad;
    EXPECT_EQ(status("/healthz", bad, AdminDoor::kLoopback), 200) << bad;
    EXPECT_EQ(status("/api/v1/things", bad, AdminDoor::kNetwork), 200) << bad;
  }
}

TEST(AdminDoor, IsWhatTheAddressSays) {
  EXPECT_EQ(admin_door("unix:/run/oxbow/admin.sock"), AdminDoor::kSocket);
  EXPECT_EQ(admin_door("127.0.0.1:5052"), AdminDoor::kLoopback);
  EXPECT_EQ(admin_door("[::1]:5052"), AdminDoor::kLoopback);
  EXPECT_EQ(admin_door("0.0.0.0:5052"), AdminDoor::kNetwork);
  EXPECT_EQ(admin_door("[::]:5052"), AdminDoor::kNetwork);
  EXPECT_EQ(admin_door("fd:4"), AdminDoor::kNetwork);
}

TEST(ApiTime, IsRfc3339WithMilliseconds) {
  using std::chrono::milliseconds;
  EXPECT_EQ(api_time(std::chrono::system_clock::time_point(milliseconds(1'790'000'000'007))),
            "2026-09-21T14:13:20.007Z");
}

}  // namespace
}  // namespace oxbow::mirror

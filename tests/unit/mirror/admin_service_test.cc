// What the admin address answers.
#include "mirror/admin_service.h"

#include "scratch.h"

namespace oxbow::mirror {
namespace {

class AdminServiceTest : public ::testing::Test {
 protected:
  struct Answer {
    int status;
    std::string type;
    std::string body;
  };
  Answer ask(const std::string& path, http::Method method = http::Method::kGet) {
    http::Request request;
    request.method = method;
    request.target = request.path = path;
    return scratch_.run(answer(admin_, std::move(request)));
  }

  Scratch scratch_;
  AdminService admin_{scratch_.store(), scratch_.metrics(), scratch_.pool(), "1.2.3"};

 private:
  static Task<Answer> answer(AdminService& admin, http::Request request) {
    auto response = co_await admin.handle(std::move(request));
    Answer got{response.status, std::string(response.headers.find("Content-Type").value_or("")), {}};
    while (response.body) {
      auto piece = response.body->next(65'536);
      const auto* memory = std::get_if<http::MemoryPiece>(&piece);
      if (memory == nullptr) break;
      got.body += memory->bytes;
    }
    co_return got;
  }
};

// Alive is not ready: ready is what start and drain say.
TEST_F(AdminServiceTest, HealthAndReadiness) {
  EXPECT_EQ(ask("/healthz").status, 200);
  EXPECT_EQ(ask("/readyz").status, 503);
  admin_.set_ready(true);
  EXPECT_EQ(ask("/readyz").status, 200);
  admin_.set_ready(false);
  EXPECT_EQ(ask("/readyz").status, 503);
  EXPECT_EQ(ask("/healthz").status, 200);
}

// The metrics of all rooms in the exposition format.
TEST_F(AdminServiceTest, Metrics) {
  counter_family(scratch_.metrics(), "oxbow_example_total", "An example").Add({{"label", "x"}}).Increment(3);
  const auto got = ask("/metrics");
  EXPECT_EQ(got.status, 200);
  EXPECT_TRUE(got.type.starts_with("text/plain"));
  EXPECT_NE(got.body.find("# TYPE oxbow_example_total counter"), std::string::npos);
  EXPECT_NE(got.body.find("oxbow_example_total{label=\"x\"} 3"), std::string::npos);
  EXPECT_NE(got.body.find("oxbow_storage_bytes"), std::string::npos);
}

// The status is JSON and tells version and storage.
TEST_F(AdminServiceTest, Status) {
  const auto got = ask("/api/v1/status");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.type, "application/json");
  EXPECT_NE(got.body.find("\"version\": \"1.2.3\""), std::string::npos);
  EXPECT_NE(got.body.find("\"budget_bytes\": 1073741824"), std::string::npos);
  EXPECT_NE(got.body.find("\"writable\": true"), std::string::npos);
}

// It changes nothing, and nothing else is there.
TEST_F(AdminServiceTest, ReadOnly) {
  for (const auto method : {http::Method::kPost, http::Method::kPut, http::Method::kDelete, http::Method::kOther}) {
    EXPECT_EQ(ask("/api/v1/status", method).status, 405);
  }
  EXPECT_EQ(ask("/v2/").status, 404);
  EXPECT_EQ(ask("/").status, 404);
}

}  // namespace
}  // namespace oxbow::mirror

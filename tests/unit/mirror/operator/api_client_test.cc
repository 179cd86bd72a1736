// The client of the admin API, against a real server on a Unix socket and on TCP.
#include "mirror/operator/api_client.h"

#include <sys/stat.h>

#include "../admin/admin_site.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

class ApiClientTest : public ::testing::Test {
 protected:
  ApiClientTest() {
    std::string pattern = (fs::temp_directory_path() / "oxbow-api-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    socket_ = folder_ / "made" / "admin.sock";
    site_.routes.get("/api/v1/echo", [](const ApiCall& call) -> Result<Json> {
      return Json{{"query", call.query}, {"may_change", call.may_change}};
    });
    site_.routes.post("/api/v1/echo", [](const ApiCall& call) -> Result<Json> { return *call.json; });
    site_.routes.add(http::Method::kDelete, "/api/v1/echo/{id}", ApiAccess::kChange,
                     [](const ApiCall& call) -> Task<http::Response> {
                       co_return http::Response::text(404, "application/json",
                                                      "{\"error\":\"no echo " + call.parameter + "\"}");
                     });
  }
  ~ApiClientTest() override { fs::remove_all(folder_); }

  AdminSite site_;
  fs::path folder_, socket_;
};

// Proves: the socket reads and changes, its file is for owner and group, and goes with the server.
TEST_F(ApiClientTest, TheSocketReadsAndChanges) {
  {
    const AdminServer server(site_, "unix:" + socket_.string());
    EXPECT_EQ(server.address(), "unix:" + socket_.string());
    struct stat made{};
    ASSERT_EQ(::stat(socket_.c_str(), &made), 0);
    EXPECT_EQ(made.st_mode & 07777U, 0660U);
    const ApiClient client({socket_.string(), ""});
    const auto got = client.get("/api/v1/echo?a=b");
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_EQ(*got, (Json{{"query", "a=b"}, {"may_change", true}}));
    const Json sent{{"digest", "x"}, {"list", {1, 2}}};
    EXPECT_EQ(client.post("/api/v1/echo", sent).value(), sent);
    const auto missing = client.remove("/api/v1/echo/7");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Errc::kNotFound);
    EXPECT_EQ(missing.error().what(), "no echo 7");
  }
  EXPECT_FALSE(fs::exists(socket_));
  EXPECT_TRUE(fs::exists(socket_.parent_path()));
}

// Proves: without the socket, reading goes over TCP and changing does not.
TEST_F(ApiClientTest, TcpIsWhatReadingFallsBackTo) {
  const AdminServer server(site_, "127.0.0.1:0");
  const ApiClient both({socket_.string(), "http://" + server.address()});
  EXPECT_EQ(both.get("/api/v1/echo").value().at("may_change"), false);
  const auto refused = both.post("/api/v1/echo", Json::object());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Errc::kUnavailable);
  const ApiClient tcp({"", "http://" + server.address()});
  const auto told = tcp.post("/api/v1/echo", Json::object());
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code(), Errc::kDenied);
  EXPECT_NE(told.error().what().find("admin.socket"), std::string::npos);
}

// Proves: a daemon that is not there is named, with what to do.
TEST_F(ApiClientTest, NobodyAnswers) {
  const auto got = ApiClient({socket_.string(), "http://127.0.0.1:1"}).get("/api/v1/echo");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Errc::kUnavailable);
  EXPECT_NE(got.error().what().find(socket_.string()), std::string::npos);
  EXPECT_NE(got.error().what().find("systemctl status oxbow"), std::string::npos);
}

// Proves: what a killed process left is replaced, a living one is not, nor is a file that is no socket.
TEST_F(ApiClientTest, StaleSocketsAreReplaced) {
  const auto address = "unix:" + socket_.string();
  const auto try_to_serve = [&] {
    AdminService service(AdminDoor::kSocket, site_.routes, site_.scratch.metrics(), site_.scratch.pool(), site_.ready);
    const auto made = http::Server::create({"again", {address}, std::nullopt, {}, true}, site_.scratch.loops(), service,
                                           site_.scratch.metrics());
    return made ? std::string() : made.error().what();
  };
  const auto left = folder_ / "left.sock";
  fs::create_directories(socket_.parent_path());
  {
    const AdminServer server(site_, address);
    EXPECT_NE(try_to_serve().find("a process listens"), std::string::npos);
    EXPECT_TRUE(ApiClient({socket_.string(), ""}).get("/api/v1/echo"));
    fs::rename(socket_, left);
  }
  ASSERT_TRUE(fs::exists(left));  // not the one that was bound there: it stays
  fs::rename(left, socket_);
  {
    const AdminServer server(site_, address);
    EXPECT_TRUE(ApiClient({socket_.string(), ""}).get("/api/v1/echo"));
  }
  fs::remove(socket_);
  fs::create_directory(socket_);
  EXPECT_NE(try_to_serve().find("no socket"), std::string::npos);
}

TEST(AdminAddress, IsAPathOrAUrl) {
  EXPECT_EQ(AdminAddress::parse("/run/x.sock").value().socket, "/run/x.sock");
  EXPECT_EQ(AdminAddress::parse("unix:/run/x.sock").value().socket, "/run/x.sock");
  EXPECT_EQ(AdminAddress::parse("./x.sock").value().socket, "./x.sock");
  EXPECT_EQ(AdminAddress::parse("http://10.0.0.1:5052/").value().url, "http://10.0.0.1:5052");
  EXPECT_EQ(AdminAddress::parse("10.0.0.1:5052").value().url, "http://10.0.0.1:5052");
  EXPECT_FALSE(AdminAddress::parse("x"));
  EXPECT_EQ(AdminAddress::from({"0.0.0.0:5052", "/s"}).url, "http://127.0.0.1:5052");
  EXPECT_EQ(AdminAddress::from({"[::]:5052", ""}).url, "http://[::1]:5052");
  EXPECT_EQ(AdminAddress::from({"", "/s"}).text(), "/s");
}

}  // namespace
}  // namespace oxbow::mirror

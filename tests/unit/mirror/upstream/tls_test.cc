// HTTPS to a registry with an authority of its own, and with a client certificate.
#include <filesystem>
#include <fstream>

#include "mirror/upstream/program.h"
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

namespace fs = std::filesystem;

class UpstreamTls : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory() = fs::path(::testing::TempDir()) / fmt::format("oxbow-upstream-tls-{}", getpid());
    fs::create_directories(directory());
    for (const auto* authority : {"ca", "other"}) {
      openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
               std::string("/CN=") + authority, "-keyout", file(std::string(authority) + ".key"), "-out",
               file(std::string(authority) + ".pem")});
    }
    issue("server", "subjectAltName=IP:127.0.0.1");
    issue("client", "extendedKeyUsage=clientAuth");
  }
  static void TearDownTestSuite() { fs::remove_all(directory()); }

  static fs::path& directory() {
    static fs::path path;
    return path;
  }
  static std::string file(const std::string& name) { return (directory() / name).string(); }

  static void openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const auto ran = run_program(arguments, {}, "", 20s);
    ASSERT_TRUE(ran) << ran.error().what();
    ASSERT_EQ(ran->exit_code, 0) << arguments[1];
  }
  static void issue(const std::string& name, const std::string& extension) {
    std::ofstream(file(name + ".ext")) << extension << "\n";
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name, "-keyout",
             file(name + ".key"), "-out", file(name + ".csr")});
    openssl({"x509", "-req", "-in", file(name + ".csr"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"),
             "-CAcreateserial", "-days", "2", "-extfile", file(name + ".ext"), "-out", file(name + ".pem")});
  }

  static FakeTls server(bool wants_client = false) {
    return {
        .certificate = file("server.pem"), .key = file("server.key"), .client_ca = wants_client ? file("ca.pem") : ""};
  }
  static UpstreamConfig config(const FakeRegistry& fake, const std::string& authority) {
    UpstreamConfig made;
    made.urls = {fake.url()};
    if (!authority.empty()) made.ca_file = file(authority + ".pem");
    return made;
  }
};

// The configured authority is what makes the registry trusted; without it, or with another, nothing is sent.
TEST_F(UpstreamTls, OwnAuthority) {
  const auto content = pattern(2'000'000);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; }, server());
  Bench bench;
  const auto trusted = bench.registry(config(fake, "ca"));
  const auto got = bench.stream(*trusted, blob_request());
  ASSERT_TRUE(*got.done) << got.done->error().what();
  EXPECT_EQ(got.body, content);
  for (const auto* authority : {"", "other"}) {
    const auto untrusted = bench.registry(config(fake, authority));
    const auto refused = bench.get(*untrusted, manifest_request());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::kUnavailable) << refused.error().what();
  }
  EXPECT_EQ(fake.seen().size(), 1);
}

// A registry that asks for a client certificate gets the configured one.
TEST_F(UpstreamTls, ClientCertificate) {
  FakeRegistry fake([](const Seen&) -> Reply { return {.body = "known"}; }, server(true));
  Bench bench;
  auto known = config(fake, "ca");
  known.client_certificate = file("client.pem");
  known.client_key = file("client.key");
  EXPECT_FALSE(bench.get(*bench.registry(config(fake, "ca")), manifest_request()));
  const auto registry = bench.registry(known);
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "known");
  EXPECT_FALSE(bench.get(*bench.registry(config(fake, "ca")), manifest_request()));  // its connection is not lent
}

// An https registry does not lead to plain http, neither for content nor for tokens, unless the operator says so.
TEST_F(UpstreamTls, NoDowngrade) {
  FakeRegistry plain([](const Seen&) -> Reply { return {.body = R"({"token":"t"})"}; });
  FakeRegistry fake(
      [&](const Seen& seen) -> Reply {
        if (seen.path().contains("moved")) return {.status = 307, .headers = {{"Location", plain.url() + "/x"}}};
        return {.status = 401, .headers = {{"WWW-Authenticate", "Bearer realm=\"" + plain.url() + "/token\""}}};
      },
      server());
  Bench bench;
  auto allowed = config(fake, "ca");
  const auto strict = bench.registry(allowed);
  EXPECT_EQ(bench.get(*strict, manifest_request("moved")).error().code(), Errc::kDenied);
  EXPECT_EQ(bench.get(*strict, manifest_request("private")).error().code(), Errc::kDenied);
  EXPECT_TRUE(plain.seen().empty());
  allowed.allow_redirect_to_http = true;
  EXPECT_TRUE(bench.get(*bench.registry(allowed), manifest_request("moved")));
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing

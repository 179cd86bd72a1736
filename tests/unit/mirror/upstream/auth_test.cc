// The token flow, Basic, and the client's own credential, against a registry and a token service of our own.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/encoding.h"
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

std::string bearer_challenge(const std::string& realm) {
  return "Basic realm=\"other\", Bearer realm=\"" + realm +
         "/token\",service=\"reg.test\",scope=\"repository:user/image:pull\"";
}

/// A file of this process alone: another one may run the same test beside it.
std::string own_file(const std::string& name) {
  static const struct Folder {
    ~Folder() { std::filesystem::remove_all(path); }
    std::string path = fmt::format("{}oxbow-auth-{}", ::testing::TempDir(), ::getpid());
  } folder;
  std::filesystem::create_directories(folder.path);
  return folder.path + '/' + name;
}

/// A registry that wants `Bearer <token>`, where the token is what its service gives out now.
struct TokenRegistry {
  TokenRegistry() {
    service.script([this](const Seen& seen) { return answer_token(seen); });
    registry.script([this](const Seen& seen) -> Reply {
      if (seen.header("authorization") == "Bearer " + current()) return {.body = "content"};
      return {.status = 401,
              .headers = {{"WWW-Authenticate", bearer_challenge(service.url())}},
              .body = R"({"errors":[{"code":"UNAUTHORIZED"}]})"};
    });
  }
  Reply answer_token(const Seen&) {
    if (token_delay.load() > 0ms) std::this_thread::sleep_for(token_delay.load());
    return {.status = token_status,
            .body = fmt::format(R"({{"{}":"{}","expires_in":{}}})", field, current(), expires_in)};
  }
  std::string current() const { return fmt::format("token-{}", generation.load()); }

  std::atomic<int> generation = 1;
  std::atomic<int> token_status = 200;
  std::atomic<std::chrono::milliseconds> token_delay{0ms};
  int expires_in = 300;
  std::string field = "token";
  FakeRegistry service;
  FakeRegistry registry;
};

/// The node is "user" there, by the password in that file.
UpstreamConfig with_password(const std::string& url, const std::string& file) {
  UpstreamConfig config;
  config.urls = {url};
  config.credentials = PasswordFileSource{.username = "user", .password_file = file};
  return config;
}
FetchRequest by_node(FetchRequest request) {
  request.identity.kind = IdentityKind::kNode;
  return request;
}

// Public content: an anonymous token for our own scope (never the hint in the challenge), then the content.
TEST(UpstreamAuth, AnonymousTokenFlow) {
  TokenRegistry fake;
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  const auto got = bench.get(*registry, manifest_request("library/alpine"));
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "content");
  const auto asked = fake.service.seen();
  ASSERT_EQ(asked.size(), 1);
  EXPECT_EQ(asked[0].method, "GET");
  EXPECT_EQ(query_value(asked[0].query(), "scope"), "repository:library/alpine:pull");
  EXPECT_EQ(query_value(asked[0].query(), "service"), "reg.test");
  EXPECT_EQ(asked[0].header("authorization"), "");

  // The token is kept, and another repository does not need to be challenged first.
  EXPECT_TRUE(bench.get(*registry, manifest_request("library/alpine")));
  EXPECT_TRUE(bench.get(*registry, blob_request("library/busybox")));
  EXPECT_EQ(fake.service.seen().size(), 2);
  EXPECT_EQ(fake.registry.seen().size(), 4);
}

// `access_token` serves as well as `token`.
TEST(UpstreamAuth, AccessTokenField) {
  TokenRegistry fake;
  fake.field = "access_token";
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
}

// Fifty requests at once on two loops fetch one token.
TEST(UpstreamAuth, OneTokenForAll) {
  TokenRegistry fake;
  fake.token_delay = 100ms;
  Bench bench(2);
  const auto registry = bench.at({fake.registry.url()});
  std::vector<std::future<Result<WholeResponse>>> gets;
  for (std::size_t i = 0; i < 50; ++i) gets.push_back(bench.start_get(*registry, manifest_request(), i % 2));
  for (auto& get : gets) {
    const auto got = get.get();
    ASSERT_TRUE(got) << got.error().what();
    EXPECT_EQ(got->head.status, 200);
  }
  EXPECT_EQ(fake.service.seen().size(), 1);
}

// Who asked first may leave: the others still get the token that was on its way.
TEST(UpstreamAuth, FirstAskerLeaves) {
  TokenRegistry fake;
  fake.token_delay = 200ms;
  Bench bench(2);
  const auto registry = bench.at({fake.registry.url()});
  Recorder recorder;
  std::unique_ptr<Transfer> first;
  bench.on_loop([&] { first = registry->start(bench.curl(), manifest_request(), recorder); });
  ASSERT_TRUE(eventually([&] { return fake.service.seen().size() == 1; }));
  auto second = bench.start_get(*registry, manifest_request(), 1);
  bench.on_loop([&] { first.reset(); });
  EXPECT_EQ(second.get()->head.status, 200);
  EXPECT_EQ(fake.service.seen().size(), 1);
}

// A token is used until near its end, renewed in the background before, and fetched anew after it.
TEST(UpstreamAuth, ExpiryAndRenewal) {
  TokenRegistry fake;
  fake.expires_in = 100;
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  bench.clock.advance(70s);
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  EXPECT_EQ(fake.service.seen().size(), 1);
  bench.clock.advance(15s);  // 85 %: still used, its successor is fetched meanwhile
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  EXPECT_TRUE(eventually([&] { return fake.service.seen().size() == 2; }));
  EXPECT_TRUE(eventually([&] {  // the renewal may still be landing, so more than once
    bench.clock.advance(200s);
    EXPECT_TRUE(bench.get(*registry, manifest_request()));
    return fake.service.seen().size() == 3;
  }));
  EXPECT_EQ(std::ranges::count_if(fake.registry.seen(),
                                  [](const Seen& seen) { return seen.header("authorization").empty(); }),
            1);  // challenged once, in the beginning
}

// An `expires_in` below a minute counts as a minute, and so does none.
TEST(UpstreamAuth, ShortLifeIsAMinute) {
  TokenRegistry fake;
  fake.expires_in = 1;
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  bench.clock.advance(40s);
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  EXPECT_EQ(fake.service.seen().size(), 1);
}

// A kept token that is refused is fetched anew, once.
TEST(UpstreamAuth, RevokedTokenIsFetchedAgainOnce) {
  TokenRegistry fake;
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  ++fake.generation;
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->head.status, 200);
  EXPECT_EQ(fake.service.seen().size(), 2);
}

// A token that never suits ends as the registry's own 401, with its challenge, and not in a loop.
TEST(UpstreamAuth, RefusedForGood) {
  TokenRegistry fake;
  fake.registry.script([&](const Seen&) -> Reply {
    return {.status = 401, .headers = {{"WWW-Authenticate", bearer_challenge(fake.service.url())}}, .body = "no"};
  });
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_TRUE(got);
  EXPECT_EQ(got->head.status, 401);
  EXPECT_EQ(got->body, "no");
  EXPECT_TRUE(got->head.headers.find("WWW-Authenticate"));
  EXPECT_EQ(fake.registry.seen().size(), 2);
}

// A token service that refuses anonymous tokens (as for private repositories) gives the registry's 401 too; one that
// fails is kUnavailable; one that answers 429 throttles.
TEST(UpstreamAuth, TokenServiceRefusesOrFails) {
  TokenRegistry fake;
  Bench bench;
  fake.token_status = 403;
  const auto registry = bench.at({fake.registry.url()});
  EXPECT_EQ(bench.get(*registry, manifest_request())->head.status, 401);
  fake.token_status = 500;
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kUnavailable);
  fake.token_status = 429;
  auto request = manifest_request();
  request.head_timeout = 900ms;  // less than it is asked to wait
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kThrottled);
  EXPECT_TRUE(registry->retry_after());
}

// The client's own header goes out as it is, no token flow happens, and the refusal comes back with its challenge.
TEST(UpstreamAuth, ClientPassThrough) {
  TokenRegistry fake;
  Bench bench;
  const auto registry = bench.at({fake.registry.url()});
  auto request = manifest_request();
  request.identity = {.kind = IdentityKind::kClient, .authorization = "Bearer the-clients-own"};
  const auto refused = bench.get(*registry, request);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->head.status, 401);
  EXPECT_EQ(refused->head.headers.find("WWW-Authenticate"), bearer_challenge(fake.service.url()));
  EXPECT_EQ(fake.registry.seen()[0].header("authorization"), "Bearer the-clients-own");
  EXPECT_TRUE(fake.service.seen().empty());
  request.identity.authorization = "Bearer " + fake.current();
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
}

// Neither another client's nor the node's token is ever used for an anonymous request.
TEST(UpstreamAuth, IdentitiesDoNotMix) {
  TokenRegistry fake;
  fake.service.script([](const Seen& seen) -> Reply {
    return {.body = seen.header("authorization").empty() ? R"({"token":"anonymous"})" : R"({"token":"node"})"};
  });
  fake.registry.script([&](const Seen& seen) -> Reply {
    if (!seen.header("authorization").empty()) return {.body = seen.header("authorization")};
    return {.status = 401, .headers = {{"WWW-Authenticate", bearer_challenge(fake.service.url())}}};
  });
  const auto file = own_file("password");
  std::ofstream(file) << "secret\n";
  Bench bench;
  const auto registry = bench.registry(with_password(fake.registry.url(), file));
  auto request = manifest_request();
  EXPECT_EQ(bench.get(*registry, request)->body, "Bearer anonymous");
  request.identity.kind = IdentityKind::kNode;
  EXPECT_EQ(bench.get(*registry, request)->body, "Bearer node");
  request.identity.kind = IdentityKind::kAnonymous;
  EXPECT_EQ(bench.get(*registry, request)->body, "Bearer anonymous");
  EXPECT_EQ(fake.service.seen()[1].header("authorization"), "Basic " + base64_encode("user:secret"));
}

// A registry that wants Basic gets the node's credential, read again after it was refused; anonymous gets the 401.
TEST(UpstreamAuth, Basic) {
  std::string password = "one";
  FakeRegistry fake([&](const Seen& seen) -> Reply {
    if (seen.header("authorization") == "Basic " + base64_encode("user:" + password)) return {.body = "content"};
    return {.status = 401, .headers = {{"WWW-Authenticate", "Basic realm=\"x\""}}};
  });
  const auto file = own_file("basic-password");
  std::ofstream(file) << password;
  Bench bench;
  const auto registry = bench.registry(with_password(fake.url(), file));
  auto request = manifest_request();
  EXPECT_EQ(bench.get(*registry, request)->head.status, 401);
  request.identity.kind = IdentityKind::kNode;
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
  EXPECT_EQ(fake.seen().size(), 4);  // known by now: no second challenge
  password = "two";
  EXPECT_EQ(bench.get(*registry, request)->head.status, 401);
  std::ofstream(file) << password;
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
}

// An identity token goes to the token service by POST; where that is refused, by GET with Basic.
TEST(UpstreamAuth, RefreshToken) {
  TokenRegistry fake;
  bool posts = true;
  fake.service.script([&](const Seen& seen) -> Reply {
    if (seen.method == "POST" && !posts) return {.status = 405};
    return fake.answer_token(seen);
  });
  const auto file = own_file("config.json");
  std::ofstream(file) << R"({"auths":{")" + fake.registry.host_port() + R"(":{"auth":")" + base64_encode("user:") +
                             R"(","identitytoken":"refresh/me"}}})";
  for (const bool with_post : {true, false}) {
    posts = with_post;
    const auto before = fake.service.seen().size();
    Bench bench;
    UpstreamConfig config;
    config.urls = {fake.registry.url()};
    config.credentials = DockerConfigSource{file};
    const auto registry = bench.registry(config);
    auto request = manifest_request("a/b");
    request.identity.kind = IdentityKind::kNode;
    EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
    const auto asked = fake.service.seen();
    EXPECT_EQ(asked[before].method, "POST");
    EXPECT_EQ(asked[before].body,
              "grant_type=refresh_token&service=reg.test&scope=repository%3Aa%2Fb%3Apull&client_id=oxbow&"
              "refresh_token=refresh%2Fme");
    if (with_post) continue;
    ASSERT_EQ(asked.size(), before + 2);
    EXPECT_EQ(asked[before + 1].header("authorization"), "Basic " + base64_encode("user:refresh/me"));
  }
}

// A token service without GET gets the password by POST.
TEST(UpstreamAuth, PasswordGrant) {
  TokenRegistry fake;
  fake.service.script([&](const Seen& seen) -> Reply {
    if (seen.method == "GET") return {.status = 405};
    return fake.answer_token(seen);
  });
  const auto file = own_file("grant-password");
  std::ofstream(file) << "p&w";
  Bench bench;
  const auto registry = bench.registry(with_password(fake.registry.url(), file));
  const auto request = by_node(manifest_request());
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
  EXPECT_TRUE(fake.service.seen().back().body.contains("grant_type=password"));
  EXPECT_TRUE(fake.service.seen().back().body.ends_with("username=user&password=p%26w"));
}

// A registry token goes to the registry as it is.
TEST(UpstreamAuth, RegistryToken) {
  TokenRegistry fake;
  const auto file = own_file("registrytoken.json");
  std::ofstream(file) << R"({"auths":{"http://)" + fake.registry.host_port() + R"(/v2/":{"registrytoken":")" +
                             fake.current() + R"("}}})";
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.registry.url()};
  config.credentials = DockerConfigSource{file};
  const auto registry = bench.registry(config);
  const auto request = by_node(manifest_request());
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
  EXPECT_TRUE(fake.service.seen().empty());
}

// A challenge is answered to the registry, and not to whom it sends us: that host would choose who gets the credential.
TEST(UpstreamAuth, ChallengeOfAnotherHostIsNotAnswered) {
  FakeRegistry thief([](const Seen&) -> Reply { return {.body = R"({"token":"bait"})"}; });
  FakeRegistry cdn([&](const Seen&) -> Reply {
    return {.status = 401, .headers = {{"WWW-Authenticate", bearer_challenge(thief.url())}}};
  });
  TokenRegistry fake;
  fake.registry.script([&](const Seen& seen) -> Reply {
    if (seen.path() == "/real" && seen.header("authorization") == "Bearer token-1") return {.body = "content"};
    if (seen.path() == "/real") {
      return {.status = 401, .headers = {{"WWW-Authenticate", bearer_challenge(fake.service.url())}}};
    }
    const bool elsewhere = seen.path().contains("/blobs/");
    return {.status = 307, .headers = {{"Location", elsewhere ? cdn.url() + "/x" : "/real"}}};
  });
  const auto file = own_file("challenge-password");
  std::ofstream(file) << "secret";
  Bench bench;
  const auto registry = bench.registry(with_password(fake.registry.url(), file));
  const auto request = by_node(blob_request());
  const auto got = bench.get(*registry, request);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->head.status, 401);
  EXPECT_TRUE(got->head.redirected);
  EXPECT_TRUE(thief.seen().empty());
  EXPECT_EQ(cdn.seen().size(), 1);
  // Within the registry's own host a redirect changes nothing.
  EXPECT_EQ(bench.get(*registry, by_node(manifest_request()))->body, "content");
}

// A form with secrets is not sent on when the token service redirects.
TEST(UpstreamAuth, SecretsDoNotFollowRedirects) {
  TokenRegistry fake;
  FakeRegistry elsewhere([](const Seen&) -> Reply { return {.body = R"({"token":"stolen"})"}; });
  fake.service.script(
      [&](const Seen&) -> Reply { return {.status = 307, .headers = {{"Location", elsewhere.url() + "/steal"}}}; });
  const auto file = own_file("redirect.json");
  std::ofstream(file) << R"({"auths":{")" + fake.registry.host_port() + R"(":{"identitytoken":"refresh"}}})";
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.registry.url()};
  config.credentials = DockerConfigSource{file};
  const auto registry = bench.registry(config);
  const auto request = by_node(manifest_request());
  EXPECT_FALSE(bench.get(*registry, request));
  EXPECT_TRUE(elsewhere.seen().empty());
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing

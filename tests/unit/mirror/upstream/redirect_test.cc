// Redirects: credentials stay behind, the place is remembered, private addresses are refused.
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

FetchRequest as_client(FetchRequest request, std::string authorization = "Bearer secret") {
  request.identity = {.kind = IdentityKind::kClient, .authorization = std::move(authorization)};
  return request;
}

// Another port is another host: it never sees the Authorization, while the range and other fields go along.
TEST(UpstreamRedirect, CredentialsStayBehind) {
  const auto content = pattern(10'000);
  FakeRegistry cdn([&](const Seen& seen) { return ranged(seen, content); });
  FakeRegistry fake([&](const Seen&) -> Reply {
    return {.status = 307, .headers = {{"Location", cdn.url() + "/bucket/x?X-Amz-Signature=abc"}}, .body = "moved"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = as_client(blob_request());
  request.range = ByteRange{.first = 5, .last = 99};
  const auto got = bench.stream(*registry, request);
  ASSERT_TRUE(*got.done) << got.done->error().what();
  EXPECT_EQ(got.body, content.substr(5, 95));
  EXPECT_EQ(got.head->origin, cdn.url());
  EXPECT_TRUE(got.head->redirected);
  EXPECT_EQ(fake.seen()[0].header("authorization"), "Bearer secret");
  ASSERT_EQ(cdn.seen().size(), 1);
  EXPECT_EQ(cdn.seen()[0].header("authorization"), "");
  EXPECT_EQ(cdn.seen()[0].header("range"), "bytes=5-99");
}

// On the same host the Authorization is kept: registries redirect among their own paths.
TEST(UpstreamRedirect, SameHostKeepsCredentials) {
  FakeRegistry fake([](const Seen& seen) -> Reply {
    if (seen.path() == "/real") return {.body = seen.header("authorization")};
    return {.status = 302, .headers = {{"Location", "/real"}}};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  const auto got = bench.get(*registry, as_client(manifest_request()));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->body, "Bearer secret");
  EXPECT_FALSE(got->head.redirected);
}

// The place of a blob is remembered: later ranges go there at once, until it expires. Other identities do not profit.
TEST(UpstreamRedirect, LocationIsReusedUntilItExpires) {
  const auto content = pattern(10'000);
  FakeRegistry cdn([&](const Seen& seen) { return ranged(seen, content); });
  FakeRegistry fake([&](const Seen&) -> Reply { return {.status = 307, .headers = {{"Location", cdn.url() + "/x"}}}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  for (int i = 0; i < 5; ++i) {
    auto request = as_client(blob_request());
    request.range = ByteRange{.first = 100, .last = 199};
    EXPECT_EQ(bench.stream(*registry, request).body, content.substr(100, 100));
  }
  EXPECT_EQ(fake.seen().size(), 1);
  EXPECT_EQ(cdn.seen().size(), 5);
  bench.stream(*registry, as_client(blob_request(), "Bearer another"));
  EXPECT_EQ(fake.seen().size(), 2);
  bench.stream(*registry, blob_request());
  EXPECT_EQ(fake.seen().size(), 3);
  bench.clock.advance(61s);
  bench.stream(*registry, as_client(blob_request()));
  EXPECT_EQ(fake.seen().size(), 4);
}

// A remembered place that fails, by status or by refusing the connection, is forgotten, and the registry asked again.
TEST(UpstreamRedirect, FailedLocationIsForgotten) {
  const auto content = pattern(1'000);
  std::atomic<int> cdn_status = 200;
  auto cdn = std::make_unique<FakeRegistry>([&](const Seen& seen) -> Reply {
    if (seen.path() == "/old" && cdn_status != 200) return {.status = cdn_status, .body = "<Error>"};
    return {.body = content};
  });
  std::string place = "/old";
  std::mutex mutex;
  FakeRegistry fake([&](const Seen&) -> Reply {
    std::lock_guard lock(mutex);
    if (place.empty()) return {.body = content};
    return {.status = 307, .headers = {{"Location", cdn->url() + place}}};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  EXPECT_EQ(bench.stream(*registry, blob_request()).body, content);
  std::size_t asked = 1;
  for (const int status : {401, 403, 404, 429, 503}) {
    {
      std::lock_guard lock(mutex);
      place = "/old";
    }
    cdn_status = 200;
    bench.stream(*registry, blob_request("r", "sha256:" + std::to_string(status)));
    {
      std::lock_guard lock(mutex);
      place = "/new";
    }
    cdn_status = status;
    const auto got = bench.stream(*registry, blob_request("r", "sha256:" + std::to_string(status)));
    ASSERT_TRUE(*got.done) << got.done->error().what();
    EXPECT_EQ(got.head->status, 200);
    EXPECT_EQ(got.body, content);
    asked += 2;
    EXPECT_EQ(fake.seen().size(), asked);
  }
  const auto gone = cdn->url();
  cdn.reset();
  {
    std::lock_guard lock(mutex);
    place = "";
  }
  const auto got = bench.stream(*registry, blob_request());
  EXPECT_TRUE(*got.done) << got.done->error().what();
  EXPECT_EQ(got.body, content);
}

// Redirects that go round and round end as kUnavailable.
TEST(UpstreamRedirect, Loop) {
  FakeRegistry fake(
      [](const Seen& seen) -> Reply { return {.status = 302, .headers = {{"Location", seen.path() + "x"}}}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kUnavailable);
}

// Schemes other than http(s) are refused whatever the registry says.
TEST(UpstreamRedirect, ForbiddenScheme) {
  FakeRegistry fake(
      [](const Seen&) -> Reply { return {.status = 302, .headers = {{"Location", "file:///etc/passwd"}}}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Errc::kDenied) << got.error().what();
}

// A registry that nobody configured must not lead to private addresses: refused after resolution, before connecting.
TEST(UpstreamRedirect, PrivateAddressRefused) {
  FakeRegistry fake;
  Bench bench;
  for (const auto& url : {fake.url(), fmt::format("http://localhost:{}", fake.port()),
                          fmt::format("http://[::ffff:127.0.0.1]:{}", fake.port())}) {
    UpstreamConfig config;
    config.urls = {url};
    config.allow_private_addresses = false;
    const auto registry = bench.registry(config);
    const auto got = bench.get(*registry, manifest_request());
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), Errc::kDenied) << url << " " << got.error().what();
  }
  EXPECT_EQ(fake.connections(), 0);
}

// Connections are shared: one that a configured registry opened is not a way around the refusal.
TEST(UpstreamRedirect, PrivateAddressRefusedOnReusedConnections) {
  FakeRegistry fake;
  Bench bench;
  const auto allowed = bench.at({fake.url()});
  EXPECT_TRUE(bench.get(*allowed, manifest_request()));
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.allow_private_addresses = false;
  const auto refused = bench.registry(config);
  EXPECT_EQ(bench.get(*refused, manifest_request()).error().code(), Errc::kDenied);
  EXPECT_EQ(fake.seen().size(), 1);
}

// Also where a public registry redirects to one: the redirect comes here through a proxy, the only way to be "public"
// in a test.
TEST(UpstreamRedirect, PrivateAddressRefusedInRedirects) {
  FakeRegistry proxy([](const Seen& seen) -> Reply {
    if (seen.target.starts_with("http://registry.example/")) {
      return {.status = 307, .headers = {{"Location", "http://169.254.169.254/latest/meta-data"}}};
    }
    return {.body = "secrets"};
  });
  Bench bench;
  UpstreamConfig config;
  config.urls = {"http://registry.example"};
  config.proxy = proxy.url();
  config.allow_private_addresses = false;
  const auto registry = bench.registry(config);
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Errc::kDenied) << got.error().what();
  EXPECT_EQ(proxy.seen().size(), 1);
}

// A proxy carries requests with its own credential; the environment's proxies are not used.
TEST(UpstreamRedirect, Proxy) {
  FakeRegistry proxy(
      [](const Seen& seen) -> Reply { return {.body = seen.target + " " + seen.header("proxy-authorization")}; });
  Bench bench;
  UpstreamConfig config;
  config.urls = {"http://registry.example:5000"};
  config.proxy = "http://me:pw@" + proxy.host_port();
  const auto registry = bench.registry(config);
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "http://registry.example:5000/v2/library/alpine/manifests/latest Basic bWU6cHc=");

  FakeRegistry direct([](const Seen&) -> Reply { return {.body = "direct"}; });
  setenv("http_proxy", proxy.url().c_str(), 1);
  const auto without = bench.at({direct.url()});
  EXPECT_EQ(bench.get(*without, manifest_request())->body, "direct");
  unsetenv("http_proxy");
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing

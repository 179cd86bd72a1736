// Several URLs, circuit breakers and 429.
#include "mirror/upstream/endpoint.h"
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

std::string nobody() { return fmt::format("http://127.0.0.1:{}", closed_port()); }

// Refused connections, 5xx and 404 lead to the next URL; the first that has it answers.
TEST(UpstreamFailover, NextUrl) {
  for (const int status : {0, 404, 500, 502, 503}) {
    FakeRegistry first([&](const Seen&) -> Reply { return {.status = status == 0 ? 200 : status, .body = "first"}; });
    FakeRegistry second([](const Seen&) -> Reply { return {.body = "second"}; });
    Bench bench;
    const auto registry = bench.at({status == 0 ? nobody() : first.url(), second.url()});
    const auto got = bench.get(*registry, manifest_request());
    ASSERT_TRUE(got) << status << got.error().what();
    EXPECT_EQ(got->body, "second");
    EXPECT_EQ(got->head.origin, second.url());
  }
}

// A URL that does not answer leaves enough of the head's time for the next one.
TEST(UpstreamFailover, SilentUrlLeavesTime) {
  FakeRegistry silent([](const Seen&) -> Reply { return {.never = true}; });
  FakeRegistry second([](const Seen&) -> Reply { return {.body = "second"}; });
  Bench bench;
  const auto registry = bench.at({silent.url(), second.url()});
  auto request = manifest_request();
  request.head_timeout = 4s;
  const auto got = bench.get(*registry, request);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "second");
}

// The last URL may be late, for who can use a late answer; the ones before it may not, so that its turn comes in time.
TEST(UpstreamFailover, OnlyTheLastUrlMayBeLate) {
  FakeRegistry silent([](const Seen&) -> Reply { return {.never = true}; });
  FakeRegistry slow([](const Seen&) -> Reply {
    std::this_thread::sleep_for(900ms);
    return {.body = "slow"};
  });
  Bench bench;
  const auto registry = bench.at({silent.url(), slow.url()});
  auto request = manifest_request();
  request.head_timeout = 600ms;
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kTimeout);
  request.late_timeout = 30s;
  const auto got = bench.get(*registry, request);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "slow");
}

// 401 and 403 are final: another URL must not be tried with somebody's credential until one says yes.
TEST(UpstreamFailover, RefusalsAreFinal) {
  for (const int status : {401, 403}) {
    FakeRegistry first([&](const Seen&) -> Reply { return {.status = status, .body = "first"}; });
    FakeRegistry second;
    Bench bench;
    const auto registry = bench.at({first.url(), second.url()});
    EXPECT_EQ(bench.get(*registry, manifest_request())->head.status, status);
    EXPECT_TRUE(second.seen().empty());
  }
}

// 404 everywhere is 404; 404 here and no answer there is not.
TEST(UpstreamFailover, MissingEverywhere) {
  FakeRegistry first([](const Seen&) -> Reply { return {.status = 404, .body = "first"}; });
  FakeRegistry second([](const Seen&) -> Reply { return {.status = 404, .body = "second"}; });
  Bench bench;
  const auto both = bench.at({first.url(), second.url()});
  EXPECT_EQ(bench.get(*both, manifest_request())->head.status, 404);
  const auto half = bench.at({first.url(), nobody()});
  EXPECT_EQ(bench.get(*half, manifest_request()).error().code(), Errc::kUnavailable);
}

// 5xx from all is asked once more after a moment, and then it is the answer.
TEST(UpstreamFailover, ServerErrors) {
  std::atomic<int> bad = 1;
  FakeRegistry fake([&](const Seen&) -> Reply { return {.status = bad-- > 0 ? 503 : 200, .body = "x"}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  EXPECT_EQ(bench.get(*registry, manifest_request())->head.status, 200);
  bad = 100;
  EXPECT_EQ(bench.get(*registry, manifest_request())->head.status, 503);
  EXPECT_EQ(fake.seen().size(), 4);
}

// After five failures in a row a URL is left alone for a second, then probed by one request; success closes the
// circuit.
TEST(UpstreamFailover, CircuitBreaker) {
  std::atomic<int> status = 500;
  FakeRegistry fake([&](const Seen&) -> Reply { return {.status = status, .body = "x"}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  const auto circuit = fmt::format("oxbow_upstream_circuit{{registry=\"test\",url=\"{}\"}}", fake.url());
  while (fake.seen().size() < 5) bench.get(*registry, manifest_request());
  EXPECT_EQ(bench.metric(circuit), "2");
  const auto asked = fake.seen().size();
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kUnavailable);
  EXPECT_EQ(fake.seen().size(), asked);
  bench.clock.advance(1100ms);
  bench.get(*registry, manifest_request());
  EXPECT_EQ(fake.seen().size(), asked + 1);
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kUnavailable);
  bench.clock.advance(2100ms);  // doubled
  status = 200;
  EXPECT_EQ(bench.get(*registry, manifest_request())->head.status, 200);
  EXPECT_EQ(bench.metric(circuit), "0");
}

// One probe at a time, and a probe that was given up lets the next one try.
TEST(UpstreamFailover, HalfOpenAdmitsOne) {
  ManualClock clock;
  MetricsRegistry metrics;
  Endpoint endpoint("https://r.example/x", clock, gauge_family(metrics, "circuit", "help").Add({}));
  EXPECT_EQ(endpoint.origin(), "https://r.example");
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
    endpoint.failed();
  }
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kOpen);
  clock.advance(1001ms);
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kOpen);
  endpoint.undecided();
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
  endpoint.failed();
  clock.advance(1500ms);
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kOpen);
  for (int i = 0; i < 10; ++i) {
    clock.advance(60'001ms);  // never longer than a minute
    EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
    endpoint.failed();
  }
}

// Silence, for which clients have waited, opens it sooner than errors that are told at once; an answer forgets it.
TEST(UpstreamFailover, SilenceCountsTwice) {
  ManualClock clock;
  MetricsRegistry metrics;
  Endpoint endpoint("https://r.example/x", clock, gauge_family(metrics, "circuit", "help").Add({}));
  for (int i = 0; i < 2; ++i) endpoint.failed("no answer in time", true);
  endpoint.succeeded();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
    endpoint.failed("no answer in time", true);
  }
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kOpen);
  endpoint.failed("no answer in time", true);  // was under way: it opens for no longer
  clock.advance(1001ms);
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kYes);
  endpoint.failed("no answer in time", true);
  clock.advance(1001ms);
  EXPECT_EQ(endpoint.admit(), Endpoint::Admission::kOpen);  // doubled
}

// A short Retry-After is waited out inside, and the 429 is never seen.
TEST(UpstreamFailover, ThrottleIsWaitedOut) {
  std::atomic<int> throttles = 1;
  FakeRegistry fake([&](const Seen&) -> Reply {
    if (throttles-- > 0) return {.status = 429, .headers = {{"Retry-After", "0"}}};
    return {.body = "x"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto got = bench.start_get(*registry, manifest_request());
  ASSERT_TRUE(eventually([&] {
    bench.clock.advance(10ms);
    return got.wait_for(0s) == std::future_status::ready;
  }));
  EXPECT_EQ(got.get()->head.status, 200);
  EXPECT_EQ(fake.seen().size(), 2);
}

// A long one is kThrottled at once, says how long, and keeps others from asking until it is over.
TEST(UpstreamFailover, LongThrottle) {
  std::atomic<bool> throttle = true;
  FakeRegistry fake([&](const Seen&) -> Reply {
    if (throttle) return {.status = 429, .headers = {{"Retry-After", "120"}}};
    return {.body = "x"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = manifest_request();
  request.head_timeout = 3s;
  const auto got = bench.get(*registry, request);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Errc::kThrottled) << got.error().what();
  EXPECT_EQ(registry->retry_after(), 120s);
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kThrottled);
  EXPECT_EQ(fake.seen().size(), 1);
  throttle = false;
  bench.clock.advance(121s);
  EXPECT_FALSE(registry->retry_after());
  EXPECT_EQ(bench.get(*registry, request)->head.status, 200);
}

// While one URL throttles, the next one serves.
TEST(UpstreamFailover, ThrottledUrlIsPassedOver) {
  FakeRegistry first([](const Seen&) -> Reply { return {.status = 429, .headers = {{"Retry-After", "120"}}}; });
  FakeRegistry second([](const Seen&) -> Reply { return {.body = "second"}; });
  Bench bench;
  const auto registry = bench.at({first.url(), second.url()});
  EXPECT_EQ(bench.get(*registry, manifest_request())->body, "second");
  EXPECT_EQ(bench.get(*registry, manifest_request())->body, "second");
  EXPECT_EQ(first.seen().size(), 1);
  EXPECT_FALSE(registry->retry_after());
}

// Bad URLs are refused at creation, with a text that holds no credential.
TEST(UpstreamFailover, BadUrls) {
  Bench bench;
  for (const auto* url :
       {"", "registry.example", "ftp://x", "https://", "https://user:secret@x", "https://x?y", "https://x:port"}) {
    UpstreamConfig config;
    config.name = "r";
    config.urls = {url};
    const auto made = Registry::create(config, Services{bench.clock, bench.pool, *bench.metrics, "1"});
    ASSERT_FALSE(made) << url;
    EXPECT_FALSE(made.error().what().contains("secret"));
  }
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing

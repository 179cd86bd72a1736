// Streaming: what arrives, in what order, how it is paused, cut short, cancelled.
#include "tests/unit/mirror/upstream/bench.h"

namespace oxbow::mirror::upstream::testing {
namespace {

// A whole answer of any final status comes with head and body, and the path goes out as it was given.
TEST(UpstreamTransfer, WholeAnswer) {
  FakeRegistry fake([](const Seen& seen) -> Reply {
    if (seen.path() == "/v2/library/alpine/manifests/latest") {
      return {.headers = {{"Docker-Content-Digest", "sha256:abc"}, {"Content-Type", "application/json"}}, .body = "{}"};
    }
    return {.status = 400, .body = "no"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = manifest_request();
  request.headers.add("Accept", "application/vnd.oci.image.index.v1+json");
  request.query = "n=5";
  const auto got = bench.get(*registry, request);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->head.status, 200);
  EXPECT_EQ(got->body, "{}");
  EXPECT_EQ(got->head.headers.find("docker-content-digest"), "sha256:abc");
  EXPECT_EQ(got->head.content_length, 2);
  EXPECT_FALSE(got->head.redirected);
  const auto seen = fake.seen();
  ASSERT_EQ(seen.size(), 1);
  EXPECT_EQ(seen[0].target, "/v2/library/alpine/manifests/latest?n=5");
  EXPECT_EQ(seen[0].header("accept"), "application/vnd.oci.image.index.v1+json");
  EXPECT_EQ(seen[0].header("user-agent"), "oxbow/1.2.3");
  EXPECT_EQ(seen[0].header("accept-encoding"), "");
  EXPECT_EQ(bench.get(*registry, manifest_request("other"))->head.status, 400);
}

// HEAD brings the length of the GET and no body; a registry's URL may have a prefix.
TEST(UpstreamTransfer, HeadUnderPrefix) {
  FakeRegistry fake([](const Seen&) -> Reply { return {.headers = {{"Content-Length", "12345"}}}; });
  Bench bench;
  const auto registry = bench.at({fake.url() + "/mirror/"});
  auto request = manifest_request();
  request.method = http::Method::kHead;
  const auto got = bench.get(*registry, request);
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->head.content_length, 12345);
  EXPECT_EQ(fake.seen()[0].method, "HEAD");
  EXPECT_EQ(fake.seen()[0].path(), "/mirror/v2/library/alpine/manifests/latest");
}

// A range asks for exactly its bytes and its Content-Range is understood; a 416 is an answer.
TEST(UpstreamTransfer, Ranges) {
  const auto content = pattern(100'000);
  FakeRegistry fake([&](const Seen& seen) { return ranged(seen, content); });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = blob_request();
  request.range = ByteRange{.first = 1000, .last = 1999};
  auto got = bench.stream(*registry, request);
  ASSERT_TRUE(got.done && *got.done);
  EXPECT_EQ(got.head->status, 206);
  EXPECT_EQ(got.head->content_range->first, 1000);
  EXPECT_EQ(got.head->content_range->last, 1999);
  EXPECT_EQ(got.head->content_range->total, 100'000);
  EXPECT_EQ(got.body, content.substr(1000, 1000));
  EXPECT_EQ(fake.seen()[0].header("range"), "bytes=1000-1999");

  request.range = ByteRange{.first = 99'000, .last = std::nullopt};
  got = bench.stream(*registry, request);
  EXPECT_EQ(got.body, content.substr(99'000));
  EXPECT_EQ(fake.seen()[1].header("range"), "bytes=99000-");

  request.range = ByteRange{.first = 100'000, .last = std::nullopt};
  got = bench.stream(*registry, request);
  EXPECT_EQ(got.head->status, 416);
  EXPECT_TRUE(*got.done);
}

// An observer that takes less than everything gets every byte once, in order, however often it pauses.
TEST(UpstreamTransfer, PauseAndResumeKeepsEveryByte) {
  const auto content = pattern(5'000'003);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  Recorder recorder;
  recorder.budget_bytes = 10'000;
  std::promise<void> done;
  recorder.when_done = [&] { done.set_value(); };
  std::unique_ptr<Transfer> transfer;
  bench.on_loop([&] { transfer = registry->start(bench.curl(), blob_request(), recorder); });
  auto ended = done.get_future();
  std::size_t step = 1;
  while (ended.wait_for(0s) != std::future_status::ready) {
    bench.on_loop([&] {
      if (recorder.budget_bytes != 0) return;
      recorder.budget_bytes = step = step * 7 % 100'003;
      transfer->resume();
      transfer->resume();
    });
  }
  bench.on_loop([&] { transfer.reset(); });  // where it may still be on its way back from `on_done`
  EXPECT_TRUE(*recorder.done);
  EXPECT_EQ(recorder.body, content);
  EXPECT_EQ(recorder.calls_after_done, 0);
}

// While nobody takes bytes, the upstream is held back: what is sent stays within buffers, and no timeout strikes.
TEST(UpstreamTransfer, PausedTransferHoldsTheUpstreamBack) {
  const auto content = pattern(24 << 20);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; });
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.no_progress_timeout = 1s;
  const auto registry = bench.registry(config);
  Recorder recorder;
  recorder.budget_bytes = 1;
  std::unique_ptr<Transfer> transfer;
  bench.on_loop([&] { transfer = registry->start(bench.curl(), blob_request(), recorder); });
  ASSERT_TRUE(eventually([&] {
    bool begun = false;
    bench.on_loop([&] { begun = recorder.body.size() == 1; });
    return begun;
  }));
  std::this_thread::sleep_for(1500ms);
  EXPECT_LT(fake.body_bytes_sent(), content.size() / 2);
  bench.on_loop([&] {
    EXPECT_FALSE(recorder.done);
    EXPECT_EQ(recorder.body.size(), 1);
    transfer.reset();
  });
}

// A body that ends early, by FIN or by RST, is kUnavailable and says how many bytes came.
TEST(UpstreamTransfer, TruncatedBody) {
  const auto content = pattern(300'000);
  Bench bench;
  for (const bool reset : {false, true}) {
    FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content, .cut_after = 100'000, .reset = reset}; });
    const auto registry = bench.at({fake.url()});
    const auto got = bench.stream(*registry, blob_request());
    ASSERT_FALSE(*got.done);
    EXPECT_EQ(got.done->error().code(), Errc::kUnavailable) << got.done->error().what();
    if (!reset) {
      EXPECT_EQ(got.body, content.substr(0, 100'000));
      EXPECT_TRUE(got.done->error().what().contains("after 100000 body bytes")) << got.done->error().what();
    }
  }
}

// A whole answer that was cut short is asked for again; after three times it is an error.
TEST(UpstreamTransfer, WholeAnswerRetries) {
  std::atomic<int> cuts = 2;
  FakeRegistry fake([&](const Seen&) -> Reply {
    if (cuts-- > 0) return {.body = "0123456789", .cut_after = 5};
    return {.body = "0123456789"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  const auto got = bench.get(*registry, manifest_request());
  ASSERT_TRUE(got) << got.error().what();
  EXPECT_EQ(got->body, "0123456789");
  EXPECT_EQ(fake.seen().size(), 3);
  cuts = 100;
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kUnavailable);
  EXPECT_EQ(fake.seen().size(), 6);
}

// An upstream that stops in the middle of a body is given up after the no-progress timeout, not before.
TEST(UpstreamTransfer, StallInBody) {
  const auto content = pattern(200'000);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content, .stall_after = 70'000}; });
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.no_progress_timeout = 2s;  // longer than a machine under load holds up the bytes that do come
  const auto registry = bench.registry(config);
  const auto got = bench.stream(*registry, blob_request());
  ASSERT_FALSE(*got.done);
  EXPECT_EQ(got.done->error().code(), Errc::kTimeout) << got.done->error().what();
  EXPECT_EQ(got.body, content.substr(0, 70'000));
}

// A registry that never answers is given up when the head is due.
TEST(UpstreamTransfer, NoHead) {
  FakeRegistry fake([](const Seen&) -> Reply { return {.never = true}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = manifest_request();
  request.head_timeout = 100ms;
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kTimeout);
}

// What is not HTTP, and bodies beyond the limit, are errors of their own.
TEST(UpstreamTransfer, RubbishAndTooLong) {
  FakeRegistry fake([](const Seen& seen) -> Reply {
    if (seen.path().ends_with("rubbish")) return {.raw = "SSH-2.0-OpenSSH_9.2\r\n\r\n"};
    return {.body = std::string(1000, 'x')};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  const auto rubbish = bench.get(*registry, manifest_request("a", "rubbish"));
  ASSERT_FALSE(rubbish);
  EXPECT_TRUE(rubbish.error().code() == Errc::kUnavailable || rubbish.error().code() == Errc::kCorrupt)
      << rubbish.error().what();
  auto request = manifest_request();
  request.max_body_bytes = 999;
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kLimit);
  request.max_body_bytes = 1000;
  EXPECT_TRUE(bench.get(*registry, request));
}

// Header injection through what callers pass is refused before anything is sent.
TEST(UpstreamTransfer, RefusesLineBreaks) {
  FakeRegistry fake;
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto request = manifest_request("a", "x\r\nX-Evil: 1");
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kInvalid);
  request = manifest_request();
  request.identity = {.kind = IdentityKind::kClient, .authorization = "Bearer x\r\nX-Evil: 1"};
  EXPECT_EQ(bench.get(*registry, request).error().code(), Errc::kInvalid);
  EXPECT_TRUE(fake.seen().empty());
}

// Destroying a transfer from inside its own callbacks, and before anything has happened, is safe and final.
TEST(UpstreamTransfer, DestroyInsideCallbacks) {
  const auto content = pattern(3'000'000);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  for (int stage = 0; stage < 4; ++stage) {
    Recorder recorder;
    std::unique_ptr<Transfer> transfer;
    std::promise<void> destroyed;
    const auto destroy = [&] {
      transfer.reset();
      destroyed.set_value();
    };
    if (stage == 1) recorder.on_first_head = destroy;
    if (stage == 2) recorder.on_first_data = destroy;
    if (stage == 3) recorder.when_done = destroy;
    bench.on_loop([&] {
      transfer = registry->start(bench.curl(), blob_request(), recorder);
      if (stage == 0) destroy();
    });
    ASSERT_EQ(destroyed.get_future().wait_for(60s), std::future_status::ready) << stage;
    bench.on_loop([] {});
    EXPECT_EQ(recorder.done.has_value(), stage == 3);
    EXPECT_EQ(recorder.calls_after_done, 0);
  }
}

// Starting another transfer from inside a callback works: libcurl forbids it there, so it is put off.
TEST(UpstreamTransfer, StartInsideCallback) {
  const auto content = pattern(1'000'000);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  Recorder first;
  Recorder second;
  std::promise<void> done;
  std::unique_ptr<Transfer> one;
  std::unique_ptr<Transfer> two;
  first.on_first_data = [&] { two = registry->start(bench.curl(), blob_request(), second); };
  second.when_done = [&] { done.set_value(); };
  bench.on_loop([&] { one = registry->start(bench.curl(), blob_request(), first); });
  ASSERT_EQ(done.get_future().wait_for(60s), std::future_status::ready);
  ASSERT_TRUE(eventually([&] {
    bool both = false;
    bench.on_loop([&] { both = first.done.has_value(); });
    return both;
  }));
  EXPECT_EQ(first.body, content);
  EXPECT_EQ(second.body, content);
  bench.on_loop([&] {
    one.reset();
    two.reset();
  });
}

// Destroying at random moments leaves nothing behind: the slots are free again and the next exchange works.
TEST(UpstreamTransfer, DestroyAtAnyTime) {
  const auto content = pattern(2'000'000);
  FakeRegistry token_service([](const Seen&) -> Reply { return {.body = R"({"token":"t"})"}; });
  FakeRegistry fake([&](const Seen& seen) -> Reply {
    if (seen.header("authorization").empty()) {
      return {.status = 401,
              .headers = {{"WWW-Authenticate", "Bearer realm=\"" + token_service.url() + "/t\",service=s"}}};
    }
    return {.body = content};
  });
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.max_connections = 2;
  const auto registry = bench.registry(config);
  for (int i = 0; i < 60; ++i) {
    std::vector<Recorder> recorders(4);
    std::vector<std::unique_ptr<Transfer>> transfers;
    bench.on_loop([&] {
      for (auto& recorder : recorders) {
        transfers.push_back(registry->start(bench.curl(), blob_request("repo" + std::to_string(i % 7)), recorder));
      }
    });
    std::this_thread::sleep_for(std::chrono::microseconds(i * 97 % 4000));
    bench.on_loop([&] { transfers.clear(); });
  }
  const auto got = bench.stream(*registry, blob_request("last"));
  ASSERT_TRUE(*got.done) << got.done->error().what();
  EXPECT_EQ(got.body, content);
}

// Closing the loop's libcurl ends what runs with kCancelled, and what is started later too.
TEST(UpstreamTransfer, CloseEndsWhatRuns) {
  FakeRegistry fake([](const Seen&) -> Reply { return {.never = true}; });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  auto running = bench.start_get(*registry, manifest_request());
  ASSERT_TRUE(eventually([&] { return fake.seen().size() == 1; }));
  bench.on_loop([&] { bench.curl().close(); });
  EXPECT_EQ(running.get().error().code(), Errc::kCancelled);
  EXPECT_EQ(bench.get(*registry, manifest_request()).error().code(), Errc::kCancelled);
}

// Loops that stop with exchanges, token fetches and waiters in the middle of it all leave nothing to crash on.
TEST(UpstreamTransfer, ShutdownWithRunningTransfers) {
  const auto content = pattern(8'000'000);
  FakeRegistry token_service([](const Seen&) -> Reply { return {.never = true}; });
  FakeRegistry fake([&](const Seen& seen) -> Reply {
    if (seen.path().contains("/private/")) {
      return {.status = 401, .headers = {{"WWW-Authenticate", "Bearer realm=\"" + token_service.url() + "/t\""}}};
    }
    return {.body = content, .stall_after = 1'000'000};
  });
  Bench bench(2);
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.max_connections = 4;
  const auto registry = bench.registry(config);
  std::array<Recorder, 8> recorders;
  std::vector<std::unique_ptr<Transfer>> transfers;
  for (std::size_t i = 0; i < recorders.size(); ++i) {
    bench.on_loop(
        [&] {
          transfers.push_back(
              registry->start(bench.curl(i % 2), blob_request(i == 0 ? "open" : "private/x"), recorders[i]));
        },
        i % 2);
    if (i == 0) {
      ASSERT_TRUE(eventually([&] { return fake.body_bytes_sent() > 0; }));
    }
  }
  ASSERT_TRUE(eventually([&] { return token_service.seen().size() == 1; }));
  bench.stop();
  transfers.clear();
}

// A limit on exchanges holds, in order of class, and one that waits too long says so.
TEST(UpstreamTransfer, ConnectionLimit) {
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  FakeRegistry fake([&](const Seen&) -> Reply {
    most = std::max(most.load(), ++running);
    std::this_thread::sleep_for(5ms);
    --running;
    return {.body = "x"};
  });
  Bench bench(2);
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.max_connections = 3;
  const auto registry = bench.registry(config);
  std::vector<std::future<Result<WholeResponse>>> gets;
  for (std::size_t i = 0; i < 30; ++i) gets.push_back(bench.start_get(*registry, manifest_request(), i % 2));
  for (auto& get : gets) EXPECT_TRUE(get.get());
  EXPECT_LE(most, 3);
  EXPECT_NE(bench.metric("oxbow_limit_hits_total{limit=\"upstream.max_connections\"}"), "");

  FakeRegistry stuck([](const Seen&) -> Reply { return {.never = true}; });
  config.urls = {stuck.url()};
  config.max_connections = 1;
  config.queue_timeout = 50ms;
  const auto narrow = bench.registry(config);
  Recorder recorder;
  std::unique_ptr<Transfer> holder;
  bench.on_loop([&] { holder = narrow->start(bench.curl(), manifest_request(), recorder); });
  ASSERT_TRUE(eventually([&] { return stuck.seen().size() == 1; }));
  EXPECT_EQ(bench.get(*narrow, manifest_request()).error().code(), Errc::kLimit);
  bench.on_loop([&] { holder.reset(); });
}

// Bandwidth limits hold over all transfers of a class, and do not lose or reorder bytes.
TEST(UpstreamTransfer, BandwidthLimit) {
  const auto content = pattern(400'000);
  FakeRegistry fake([&](const Seen&) -> Reply { return {.body = content}; });
  Bench bench;
  UpstreamConfig config;
  config.urls = {fake.url()};
  config.class_bandwidth_bytes_per_s = {0, 2'000'000};
  config.no_progress_timeout = 2s;
  const auto registry = bench.registry(config);
  auto request = blob_request();
  request.fetch_class = FetchClass::kPreheat;
  const auto begin = std::chrono::steady_clock::now();
  const auto got = bench.stream(*registry, request);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 100ms);  // 400 kB at 2 MB/s, less the burst
  EXPECT_EQ(got.body, content);
  EXPECT_NE(bench.metric("oxbow_limit_hits_total{limit=\"upstream.bandwidth\"}"), "");
}

// The metrics count body bytes and requests by code.
TEST(UpstreamTransfer, Metrics) {
  FakeRegistry fake([](const Seen& seen) -> Reply {
    return {.status = seen.path().contains("nope") ? 404 : 200, .body = "0123456789"};
  });
  Bench bench;
  const auto registry = bench.at({fake.url()});
  EXPECT_TRUE(bench.get(*registry, manifest_request()));
  EXPECT_TRUE(bench.get(*registry, manifest_request("nope")));
  EXPECT_EQ(bench.metric("oxbow_upstream_bytes_total{registry=\"test\"}"), "20");
  EXPECT_EQ(bench.metric("oxbow_upstream_requests_total{code=\"200\",registry=\"test\"}"), "1");
  EXPECT_EQ(bench.metric("oxbow_upstream_requests_total{code=\"404\",registry=\"test\"}"), "1");
}

}  // namespace
}  // namespace oxbow::mirror::upstream::testing

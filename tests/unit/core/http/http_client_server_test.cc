// The HTTP/2 client against our own server: bodies both ways, many streams, slow sinks, giving up, mutual TLS.
#include <gtest/gtest.h>

#include "http_client_support.h"

namespace oxbow::http::test {
namespace {

class HttpClient : public testing::Test {
 protected:
  void serve(bool tls = false, ServerLimits limits = {}) {
    routes.on("/hello", [](const Request&) { return Response::text(200, "text/plain", "hello"); });
    routes.on("/file", [this](const Request&) { return file_response(file); });
    routes.on("/echo", [](const Request& request) { return Response::text(200, "x/y", request.body); });
    routes.on("/who", [](const Request& request) {
      return Response::text(200, "x/y", request.peer_name.value_or("-") + " " + request.peer_serial.value_or("-"));
    });
    limits.request_body_bytes = 8UL * 1024 * 1024;
    ServerConfig config{.name = "test", .listen = {}, .tls = {}, .limits = limits, .keep_request_bodies = true};
    if (tls) config.tls = certificates.server(true);
    server = std::make_unique<TestServer>(routes, std::move(config));
  }
  std::shared_ptr<ClientTls> identity(const std::string& name) {
    auto made = make_client_tls(client_files(certificates, name));
    EXPECT_TRUE(made) << made.error().what();
    return made.value_or(nullptr);
  }

  Certificates certificates;
  /// Larger than the windows of the tests that care.
  static const TestFile& shared_file() {
    static const TestFile made{3UL * 1024 * 1024};
    return made;
  }

  const TestFile& file = shared_file();
  Routes routes;
  std::unique_ptr<TestServer> server;
  ClientLoop client;
};

// The connection is opened by the first call, and the second uses it.
TEST_F(HttpClient, CallsShareOneLazyConnection) {
  serve();
  const auto connection = client.connect(server->port());
  client.settle();
  EXPECT_FALSE(connection->connected());
  RecordingSink first, second;
  const auto call = connection->call(get_request("/hello"), first);
  EXPECT_EQ(first.heads, 0);
  ASSERT_TRUE(client.until([&] { return first.dones == 1; }));
  EXPECT_TRUE(first.outcome) << first.outcome.error().what();
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.headers.find("content-length"), "5");
  EXPECT_EQ(first.body, "hello");
  EXPECT_TRUE(connection->connected());
  EXPECT_EQ(connection->peer_name(), std::nullopt);
  const auto next = connection->call(get_request("/hello"), second);
  ASSERT_TRUE(client.until([&] { return second.dones == 1; }));
  EXPECT_EQ(second.body, "hello");
  EXPECT_EQ(server->server->connections(), 1U);
}

// Windows much smaller than the body: it arrives whole only if credit is given back, on plaintext and on TLS.
TEST_F(HttpClient, BodiesLargerThanTheWindowsArriveWhole) {
  certificates.issue("node", "node-1", "node-1");
  for (const bool tls : {false, true}) {
    serve(tls);
    ClientOptions options;
    options.stream_window_bytes = 1U << 20U;
    options.connection_window_bytes = 1U << 20U;
    const auto connection =
        client.connect(server->port(), tls ? identity("node") : nullptr, tls ? "localhost" : "", options);
    RecordingSink sink;
    const auto call = connection->call(get_request("/file"), sink);
    ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
    EXPECT_TRUE(sink.outcome) << sink.outcome.error().what();
    EXPECT_TRUE(sink.body == file.content);
  }
}

// More calls than the server allows streams: they wait for their turn, and all are answered.
TEST_F(HttpClient, ManyCallsShareTheServersStreams) {
  serve(false, {.h2_streams = 8});
  const auto connection = client.connect(server->port());
  std::vector<RecordingSink> sinks(300);
  std::vector<std::unique_ptr<ClientCall>> calls;
  int done = 0;
  for (auto& sink : sinks) {
    sink.at_done = [&] { ++done; };
    calls.push_back(connection->call(get_request("/hello"), sink));
  }
  ASSERT_TRUE(client.until([&] { return done == 300; }));
  for (const auto& sink : sinks) EXPECT_EQ(sink.body, "hello");
  EXPECT_EQ(server->server->connections(), 1U);
}

// Calls under way are as many as the client and the server both allow; the others wait.
TEST_F(HttpClient, CallsUnderWayAreBoundedByBothEnds) {
  class SilentBody final : public Body {
    Piece next(std::size_t) override { return Wait{}; }
    void on_ready(std::move_only_function<void()>) override {}
  };
  routes.on("/never", [](const Request&) {
    Response response;
    response.body = std::make_unique<SilentBody>();
    return response;
  });
  serve(false, {.h2_streams = 200, .h2_resets_per_second = 10'000});
  for (const auto& [own, expected] : {std::pair(150U, 150), std::pair(300U, 200)}) {
    ClientOptions options;
    options.streams = own;
    const auto connection = client.connect(server->port(), nullptr, "", options);
    const auto before = routes.calls();
    int heads = 0;
    std::vector<RecordingSink> sinks(250);
    std::vector<std::unique_ptr<ClientCall>> calls;
    for (auto& sink : sinks) {
      sink.at_head = [&] { ++heads; };
      calls.push_back(connection->call(get_request("/never"), sink));
    }
    ASSERT_TRUE(client.until([&] { return heads == expected; }));
    client.settle();
    EXPECT_EQ(routes.calls() - before, expected);
  }
}

// A request body of 4 MiB goes up in DATA frames, and its echo comes back.
TEST_F(HttpClient, LargeRequestBodiesGoUp) {
  serve();
  const auto connection = client.connect(server->port());
  RecordingSink sink;
  std::string body(4UL * 1024 * 1024, 'j');
  body[1'000'000] = 'k';
  const auto call = connection->call({.method = Method::kPost, .path = "/echo", .headers = {}, .body = body}, sink);
  ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  EXPECT_EQ(sink.status, 200);
  EXPECT_TRUE(sink.body == body);
}

// HEAD has a length and no body.
TEST_F(HttpClient, HeadEndsWithTheHeader) {
  serve();
  routes.on("/head", [](const Request&) {
    Response response;
    response.content_length = 1'000'000;
    return response;
  });
  const auto connection = client.connect(server->port());
  RecordingSink sink;
  const auto call = connection->call({.method = Method::kHead, .path = "/head", .headers = {}, .body = {}}, sink);
  ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  EXPECT_TRUE(sink.outcome);
  EXPECT_EQ(sink.headers.find("content-length"), "1000000");
  EXPECT_EQ(sink.body, "");
}

// A sink that takes nothing closes its own stream's window only: others go on, and later it gets every byte.
TEST_F(HttpClient, ASlowSinkHoldsUpNobodyElse) {
  serve();
  ClientOptions options;
  options.stream_window_bytes = 256U << 10U;
  options.connection_window_bytes = 512U << 10U;
  const auto connection = client.connect(server->port(), nullptr, "", options);
  std::vector<RecordingSink> slow(4);
  std::vector<std::unique_ptr<ClientCall>> calls;
  bool open = false;
  for (auto& sink : slow) {
    sink.take = [&](std::size_t offered) { return open ? std::min<std::size_t>(offered, 10'000) : 0; };
    calls.push_back(connection->call(get_request("/file"), sink));
  }
  RecordingSink quick;
  const auto call = connection->call(get_request("/file"), quick);
  ASSERT_TRUE(client.until([&] { return quick.dones == 1; }));
  EXPECT_TRUE(quick.body == file.content);
  open = true;
  ASSERT_TRUE(client.until([&] {
    int done = 0;
    for (std::size_t i = 0; i < slow.size(); ++i) {
      calls[i]->resume();
      done += slow[i].dones;
    }
    return done == 4;
  }));
  for (const auto& sink : slow) EXPECT_TRUE(sink.outcome && sink.body == file.content);
}

// Destroying the call from any of its own functions resets the stream, tells nothing more, and spares the connection.
TEST_F(HttpClient, CallsMayBeDestroyedFromTheirOwnFunctions) {
  serve();
  const auto connection = client.connect(server->port());
  for (int at = 0; at < 3; ++at) {
    RecordingSink sink;
    std::unique_ptr<ClientCall> call;
    bool gone = false;
    const auto give_up = [&] {
      call.reset();
      gone = true;
    };
    (at == 0 ? sink.at_head : at == 1 ? sink.at_data : sink.at_done) = give_up;
    call = connection->call(get_request("/file"), sink);
    ASSERT_TRUE(client.until([&] { return gone; }));
    const auto bytes = sink.body.size();
    RecordingSink after;
    const auto next = connection->call(get_request("/hello"), after);
    ASSERT_TRUE(client.until([&] { return after.dones == 1; }));
    EXPECT_EQ(after.body, "hello");
    EXPECT_EQ(sink.body.size(), bytes);
    EXPECT_EQ(sink.dones, at == 2 ? 1 : 0);
  }
  EXPECT_EQ(server->server->connections(), 1U);
}

// A sink may also drop the whole connection; nobody is called afterwards.
TEST_F(HttpClient, TheConnectionMayBeDroppedFromASink) {
  serve();
  auto connection = client.connect(server->port());
  RecordingSink sink, other;
  std::unique_ptr<ClientCall> call, beside;
  bool gone = false;
  sink.at_data = [&] {
    call.reset();
    beside.reset();
    connection.reset();
    gone = true;
  };
  call = connection->call(get_request("/file"), sink);
  other.take = [](std::size_t) { return 0; };
  beside = connection->call(get_request("/file"), other);
  ASSERT_TRUE(client.until([&] { return gone; }));
  ASSERT_TRUE(server->wait_for_connections(0));
  EXPECT_EQ(sink.dones + other.dones, 0);
}

// close() ends running, held and waiting calls with kCancelled, also from within a sink, and so do later calls.
TEST_F(HttpClient, CloseCancelsEverything) {
  serve();
  const auto connection = client.connect(server->port());
  std::vector<RecordingSink> sinks(3);
  std::vector<std::unique_ptr<ClientCall>> calls;
  sinks[0].take = [](std::size_t) { return 0; };
  sinks[1].at_data = [&] {
    if (calls.size() > 2) return;
    calls.push_back(connection->call(get_request("/hello"), sinks[2]));
    connection->close();
    EXPECT_EQ(sinks[0].dones + sinks[1].dones + sinks[2].dones, 0);
  };
  calls.push_back(connection->call(get_request("/file"), sinks[0]));
  calls.push_back(connection->call(get_request("/file"), sinks[1]));
  ASSERT_TRUE(client.until([&] { return sinks[0].dones + sinks[1].dones + sinks[2].dones == 3; }));
  for (const auto& sink : sinks) EXPECT_EQ(sink.error(), Errc::kCancelled);
  RecordingSink late;
  const auto call = connection->call(get_request("/hello"), late);
  EXPECT_EQ(late.dones, 0);
  ASSERT_TRUE(client.until([&] { return late.dones == 1; }));
  EXPECT_EQ(late.error(), Errc::kCancelled);
}

// Above `waiting_calls` a call is refused, and counted.
TEST_F(HttpClient, WaitingCallsAreBounded) {
  serve();
  MetricsRegistry metrics;
  ClientOptions options;
  options.waiting_calls = 2;
  options.waiting_calls_hit = &limit_counter(metrics, "peer.waiting_calls");
  const auto connection = client.connect(server->port(), nullptr, "", options);
  std::vector<RecordingSink> sinks(3);
  std::vector<std::unique_ptr<ClientCall>> calls;
  for (auto& sink : sinks) calls.push_back(connection->call(get_request("/hello"), sink));
  ASSERT_TRUE(client.until([&] { return sinks[0].dones + sinks[1].dones + sinks[2].dones == 3; }));
  EXPECT_TRUE(sinks[0].outcome && sinks[1].outcome);
  EXPECT_EQ(sinks[2].error(), Errc::kLimit);
  EXPECT_EQ(options.waiting_calls_hit->Value(), 1);
}

// A server that drains says GOAWAY: the connection is given up, and the next call asks for a new one.
TEST_F(HttpClient, ADrainedServersConnectionIsGivenUp) {
  serve();
  const auto connection = client.connect(server->port());
  RecordingSink first;
  const auto call = connection->call(get_request("/hello"), first);
  ASSERT_TRUE(client.until([&] { return first.dones == 1; }));
  std::thread draining([&] { server->server->drain(std::chrono::seconds(5)); });
  EXPECT_TRUE(client.until([&] { return !connection->connected(); }));
  draining.join();
  RecordingSink refused;
  const auto next = connection->call(get_request("/hello"), refused);
  ASSERT_TRUE(client.until([&] { return refused.dones == 1; }));
  EXPECT_EQ(refused.error(), Errc::kUnavailable);
}

// Without calls for `idle_timeout` the connection is closed, and the next call opens a new one.
TEST_F(HttpClient, IdleConnectionsAreClosed) {
  serve();
  ClientOptions options;
  options.idle_timeout = std::chrono::milliseconds(20);
  const auto connection = client.connect(server->port(), nullptr, "", options);
  for (int i = 0; i < 2; ++i) {
    RecordingSink sink;
    const auto call = connection->call(get_request("/hello"), sink);
    ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
    EXPECT_EQ(sink.body, "hello");
    ASSERT_TRUE(client.until([&] { return !connection->connected(); }));
    EXPECT_TRUE(server->wait_for_connections(0));
  }
}

// A whole small exchange: answer, limit of its size, and time.
TEST_F(HttpClient, ExchangeReturnsTheWholeAnswer) {
  serve();
  const auto silent = std::make_shared<FedBody::Control>();
  routes.on("/never", [&](const Request&) {
    silent->loops = &server->loops;
    Response response;
    response.body = std::make_unique<FedBody>(silent);
    return response;
  });
  const auto connection = client.connect(server->port());
  const auto ask = [&](std::string path, std::chrono::milliseconds timeout) {
    std::optional<Result<WholeClientResponse>> out;
    asio::co_spawn(client.loop, exchange(connection, get_request(std::move(path)), Patience(timeout), 5),
                   [&](std::exception_ptr, Result<WholeClientResponse> result) { out = std::move(result); });
    EXPECT_TRUE(client.until([&] { return out.has_value(); }));
    return std::move(*out);
  };
  const auto hello = ask("/hello", std::chrono::seconds(9));
  ASSERT_TRUE(hello) << hello.error().what();
  EXPECT_EQ(hello->status, 200);
  EXPECT_EQ(hello->body, "hello");
  EXPECT_EQ(ask("/file", std::chrono::seconds(9)).error().code(), Errc::kLimit);
  EXPECT_EQ(ask("/never", std::chrono::milliseconds(30)).error().code(), Errc::kTimeout);
  EXPECT_TRUE(silent->wait_until_destroyed());
}

// What is late behind other bytes of the same connection is waited for, up to the longest wait; silence is not.
TEST_F(HttpClient, ALateAnswerIsWaitedForWhileOtherBytesCome) {
  serve();
  const auto busy = std::make_shared<FedBody::Control>();
  const auto late = std::make_shared<FedBody::Control>();
  const auto serve_fed = [this](const char* path, std::shared_ptr<FedBody::Control> control) {
    routes.on(path, [this, control](const Request&) {
      control->loops = &server->loops;
      Response response;
      response.body = std::make_unique<FedBody>(control);
      return response;
    });
  };
  serve_fed("/busy", busy);
  serve_fed("/late", late);
  const auto connection = client.connect(server->port());
  RecordingSink sink;
  const auto stream = connection->call(get_request("/busy"), sink);
  ASSERT_TRUE(client.until([&] { return sink.heads == 1; }));

  const auto ask = [&](Patience patience, auto meanwhile) {
    std::optional<Result<WholeClientResponse>> out;
    asio::co_spawn(client.loop, exchange(connection, get_request("/late"), patience, 9),
                   [&](std::exception_ptr, Result<WholeClientResponse> result) { out = std::move(result); });
    EXPECT_TRUE(client.until([&] {
      meanwhile();
      return out.has_value();
    }));
    return std::move(*out);
  };
  const std::chrono::seconds quiet(1);
  const auto begin = std::chrono::steady_clock::now();
  bool answered = false;
  const auto answer = ask(Patience(quiet, std::chrono::seconds(60)), [&] {
    busy->feed("x");
    if (answered || std::chrono::steady_clock::now() < begin + 2 * quiet) return;
    answered = true;
    late->feed("late");
    late->feed(Piece(End{}));
  });
  ASSERT_TRUE(answer) << answer.error().what();
  EXPECT_EQ(answer->body, "late");

  const auto longest = ask(Patience(std::chrono::seconds(60), std::chrono::milliseconds(30)), [&] { busy->feed("x"); });
  EXPECT_EQ(longest.error().code(), Errc::kTimeout);
  EXPECT_EQ(ask(Patience(std::chrono::milliseconds(30), std::chrono::seconds(60)), [] {}).error().code(),
            Errc::kTimeout);
}

}  // namespace
}  // namespace oxbow::http::test

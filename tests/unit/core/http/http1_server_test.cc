// HTTP/1.1 over real sockets.
#include <gtest/gtest.h>

#include <unistd.h>

#include <thread>

#include "support.h"

namespace oxbow::http::test {
namespace {

using Ending = RawClient::Ending;

Routes::Function text(std::string content) {
  return [content = std::move(content)](const Request&) { return Response::text(200, "text/plain", content); };
}

ServerConfig with(ServerLimits limits, bool keep_request_bodies = false) {
  ServerConfig config;
  config.limits = limits;
  config.keep_request_bodies = keep_request_bodies;
  return config;
}

class Http1Server : public testing::Test {
 protected:
  void serve(ServerConfig config = {}) {
    server = std::make_unique<TestServer>(routes, std::move(config));
    for (const auto& control : controls) control->loops = &server->loops;
  }
  std::shared_ptr<FedBody::Control> add_fed(const std::string& path, std::optional<std::uint64_t> length) {
    auto control = std::make_shared<FedBody::Control>();
    controls.push_back(control);
    routes.on(path, [control, length](const Request&) {
      Response response;
      response.content_length = length;
      response.body = std::make_unique<FedBody>(control);
      return response;
    });
    return control;
  }
  Routes routes;
  std::vector<std::shared_ptr<FedBody::Control>> controls;
  std::unique_ptr<TestServer> server;
};

// One connection carries many requests, and the answer has the fields that clients rely on.
TEST_F(Http1Server, KeepsTheConnectionAlive) {
  routes.on("/a", text("alpha"));
  serve();
  RawClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.send(get("/a"));
    const auto response = client.response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "alpha");
    EXPECT_EQ(response.header("content-length"), "5");
    EXPECT_EQ(response.header("server"), "oxbow");
    EXPECT_TRUE(response.header("date").ends_with("GMT"));
    EXPECT_EQ(response.header("connection"), "");
  }
  EXPECT_EQ(server->server->connections(), 1U);
  EXPECT_GT(server->metric("oxbow_http_bytes_sent_total{protocol=\"h1\""), 0);
}

// Requests that arrive together are answered in order, also more of them than one turn takes.
TEST_F(Http1Server, AnswersPipelinedRequestsInOrder) {
  routes.on("/a", text("alpha"));
  routes.on("/b", text("beta"));
  serve();
  RawClient client(server->port());
  std::string all;
  for (int i = 0; i < 200; ++i) all += get(i % 2 == 0 ? "/a" : "/b");
  client.send(all);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(client.response().body, i % 2 == 0 ? "alpha" : "beta") << i;
}

// HEAD keeps the length and sends no body; the connection stays in step.
TEST_F(Http1Server, HeadHasTheLengthAndNoBody) {
  routes.on("/a", text("alpha"));
  serve();
  RawClient client(server->port());
  client.send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n" + get("/a"));
  const auto head = client.response(true);
  EXPECT_EQ(head.header("content-length"), "5");
  EXPECT_EQ(client.response().body, "alpha");
}

// A body without length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
TEST_F(Http1Server, UnknownLengthIsChunkedOrClosed) {
  const auto control = add_fed("/u", std::nullopt);
  control->feed("one");
  control->feed("two");
  control->feed(Piece(End{}));
  const auto old = add_fed("/old", std::nullopt);
  old->feed("three");
  old->feed(Piece(End{}));
  serve();
  RawClient client(server->port());
  client.send(get("/u"));
  const auto response = client.response();
  EXPECT_EQ(response.header("transfer-encoding"), "chunked");
  EXPECT_EQ(response.header("content-length"), "");
  EXPECT_EQ(response.body, "onetwo");

  RawClient ancient(server->port());
  ancient.send("GET /old HTTP/1.0\r\n\r\n");
  const auto [all, ending] = ancient.rest();
  EXPECT_EQ(ending, Ending::kEof);
  EXPECT_EQ(all.find("chunked"), std::string::npos);
  EXPECT_TRUE(all.ends_with("\r\n\r\nthree"));
}

// HTTP/1.0 and `Connection: close` end with a FIN after the response.
TEST_F(Http1Server, ClosesWhenAskedTo) {
  routes.on("/a", text("alpha"));
  serve();
  for (const std::string request :
       {"GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"}) {
    RawClient client(server->port());
    client.send(request);
    const auto [all, ending] = client.rest();
    EXPECT_EQ(ending, Ending::kEof);
    EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos);
    EXPECT_TRUE(all.ends_with("alpha"));
  }
}

// The header goes out at once when the body has to wait; each wake-up sends what has come.
TEST_F(Http1Server, SendsTheHeaderWhileTheBodyWaits) {
  const auto control = add_fed("/w", 6);
  serve();
  RawClient client(server->port());
  client.send(get("/w"));
  EXPECT_EQ(client.response(true).header("content-length"), "6");
  ASSERT_TRUE(control->wait_until_waiting());
  control->feed("abc");
  EXPECT_EQ(client.exactly(3), "abc");
  ASSERT_TRUE(control->wait_until_waiting());
  control->feed("def");
  EXPECT_EQ(client.exactly(3), "def");
  ASSERT_TRUE(control->wait_until_destroyed());
}

// A client that leaves while the body waits is noticed although nothing is written.
TEST_F(Http1Server, AbandonedWhileWaitingDestroysTheBody) {
  const auto control = add_fed("/w", 100);
  serve();
  RawClient client(server->port());
  client.send(get("/w"));
  client.response(true);
  ASSERT_TRUE(control->wait_until_waiting());
  client.close();
  EXPECT_TRUE(control->wait_until_destroyed());
  EXPECT_TRUE(server->wait_for_connections(0));
}

// Bytes of a next request are not taken for a close, and are answered after the response that waits.
TEST_F(Http1Server, PipelinedBytesAreNoClose) {
  const auto control = add_fed("/w", 3);
  routes.on("/a", text("alpha"));
  serve();
  RawClient client(server->port());
  client.send(get("/w"));
  ASSERT_TRUE(control->wait_until_waiting());
  client.send(get("/a"));
  client.response(true);
  control->feed("abc");
  EXPECT_EQ(client.exactly(3), "abc");
  EXPECT_EQ(client.response().body, "alpha");
}

// A cut response is short and ends with FIN, also when the client has sent more than was read.
TEST_F(Http1Server, CutIsAShortBodyAndFin) {
  for (const bool known_length : {true, false}) {
    const auto control = add_fed("/c", known_length ? std::optional<std::uint64_t>(100) : std::nullopt);
    control->feed("only this");
    control->feed(Piece(Cut{Error(Errc::kUnavailable, "upstream gone")}));
    serve();
    RawClient client(server->port());
    client.send(get("/c") + get("/never-read") + std::string(100'000, 'x'));
    const auto [all, ending] = client.rest();
    EXPECT_EQ(ending, Ending::kEof);
    EXPECT_TRUE(all.ends_with(known_length ? "only this" : "9\r\nonly this\r\n"));
    EXPECT_TRUE(control->wait_until_destroyed());
  }
}

// A body that gives less than it promised is cut the same way, and one that gives more never overruns its length.
TEST_F(Http1Server, WrongLengthsAreCut) {
  const auto little = add_fed("/little", 10);
  little->feed("abc");
  little->feed(Piece(End{}));
  const auto much = add_fed("/much", 2);
  much->feed("abc");
  serve();
  RawClient first(server->port());
  first.send(get("/little"));
  auto [all, ending] = first.rest();
  EXPECT_EQ(ending, Ending::kEof);
  EXPECT_TRUE(all.ends_with("\r\n\r\nabc"));
  RawClient second(server->port());
  second.send(get("/much"));
  std::tie(all, ending) = second.rest();
  EXPECT_EQ(ending, Ending::kEof);
  EXPECT_TRUE(all.ends_with("\r\n\r\n"));
}

// Files arrive byte for byte by sendfile, on several connections at once.
TEST_F(Http1Server, SendsFilesToManyAtOnce) {
  const TestFile file(9'000'001);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve();
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      RawClient client(server->port());
      for (int round = 0; round < 2; ++round) {
        client.send(get("/f"));
        if (client.response().body == file.content) ++right;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 8);
}

// A client that does not read gets no more than the socket takes, and others are served meanwhile.
TEST_F(Http1Server, SlowReaderHoldsNothingAndBlocksNobody) {
  const auto control = add_fed("/big", 1ULL << 30);
  routes.on("/a", text("alpha"));
  for (int i = 0; i < 512; ++i) control->feed(std::string(256 * 1024, 'z'));
  serve();
  RawClient slow(server->port(), 16 * 1024);
  slow.send(get("/big"));
  slow.response(true);
  for (int i = 0; i < 20; ++i) {
    RawClient quick(server->port());
    quick.send(get("/a"));
    EXPECT_EQ(quick.response().body, "alpha");
  }
  // What the kernel buffers for one loopback connection, and the piece that is being written: far below the 128 MiB
  // there are.
  EXPECT_LT(control->pulled(), 16U * 1024 * 1024);
  slow.close();
  EXPECT_TRUE(control->wait_until_destroyed());
}

// A file that has become shorter than its length ends as a cut.
TEST_F(Http1Server, ShortFileIsCut) {
  const TestFile file(1'000'000);
  ASSERT_EQ(::ftruncate(*file.fd, 500'000), 0);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve();
  RawClient client(server->port());
  client.send(get("/f"));
  client.response(true);
  const auto [all, ending] = client.rest();
  EXPECT_EQ(ending, Ending::kEof);
  EXPECT_EQ(all, file.content.substr(0, 500'000));
}

// Bad requests get their status, an OCI error and a FIN; the limit that was hit is counted.
TEST_F(Http1Server, BadRequestsGetAnErrorAndFin) {
  serve(with({.header_bytes = 6'000, .request_body_bytes = 1'000}));
  const std::vector<std::pair<std::string, int>> cases{
      {"nonsense\r\n\r\n", 400},
      {"GET /" + std::string(3'000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {get("/a", "X: " + std::string(50'000, 'x') + "\r\n"), 431},
      {"GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n" + std::string(1'001, 'b'), 413},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400}};
  for (const auto& [bytes, status] : cases) {
    RawClient client(server->port());
    client.send(bytes);
    const auto response = client.response();
    EXPECT_EQ(response.status, status) << bytes.substr(0, 50);
    EXPECT_NE(response.body.find(R"({"errors":[{"code":"UNSUPPORTED")"), std::string::npos);
    EXPECT_EQ(response.header("connection"), "close");
    EXPECT_EQ(client.rest().second, Ending::kEof);
  }
  EXPECT_EQ(server->limit_hits("http.header_bytes"), 2);
  EXPECT_EQ(server->limit_hits("http.request_body_bytes"), 1);
  EXPECT_EQ(routes.calls(), 0);
}

// 64 KiB of request header is a normal request.
TEST_F(Http1Server, TakesLargeHeaders) {
  routes.on("/a", [](const Request& request) {
    return Response::text(200, "text/plain", std::to_string(request.headers.find("range")->size()));
  });
  serve();
  RawClient client(server->port());
  client.send(get("/a", "Range: bytes=" + std::string(66'000, '1') + "\r\n"));
  EXPECT_EQ(client.response().body, "66006");
}

// Bodies are read and dropped, or kept where the server was told so; the connection stays in step.
TEST_F(Http1Server, RequestBodiesAreDroppedOrKept) {
  routes.on("/echo", [](const Request& request) { return Response::text(200, "text/plain", request.body + "."); });
  for (const bool keep : {false, true}) {
    serve(with({}, keep));
    RawClient client(server->port());
    client.send("PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + get("/echo"));
    EXPECT_EQ(client.response().body, keep ? "hello." : ".");
    EXPECT_EQ(client.response().body, ".");
  }
}

// A client that asks first gets `100 Continue` before its body, and not when the body is too large.
TEST_F(Http1Server, AnswersExpectContinue) {
  routes.on("/echo", [](const Request& request) { return Response::text(200, "text/plain", request.body); });
  serve(with({.request_body_bytes = 10}, true));
  RawClient client(server->port());
  client.send("PUT /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.response(true).status, 100);
  client.send("hello");
  EXPECT_EQ(client.response().body, "hello");
  RawClient large(server->port());
  large.send("PUT /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n");
  EXPECT_EQ(large.response().status, 413);
}

// Header bytes that trickle in are cut off with 408; an idle connection ends without a word. Both are counted.
TEST_F(Http1Server, SlowAndIdleClientsAreEnded) {
  routes.on("/a", text("alpha"));
  // Longer than a machine under load takes from the connection to its request.
  serve(with({.header_timeout = std::chrono::milliseconds(1'000), .idle_timeout = std::chrono::milliseconds(2'000)}));
  RawClient slow(server->port());
  slow.send("GET /a HTTP/1.1\r\nHo");
  EXPECT_EQ(slow.response().status, 408);
  EXPECT_EQ(slow.rest().second, Ending::kEof);
  EXPECT_EQ(server->limit_hits("http.header_timeout"), 1);
  RawClient idle(server->port());
  idle.send(get("/a"));
  EXPECT_EQ(idle.response().body, "alpha");
  EXPECT_EQ(idle.rest(), std::pair(std::string(), Ending::kEof));
  EXPECT_GE(server->limit_hits("http.idle_timeout"), 1);
}

// A client that takes no byte is cut after send_timeout.
TEST_F(Http1Server, ClientThatTakesNothingIsCut) {
  const TestFile file(32'000'000);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve(with({.send_timeout = std::chrono::milliseconds(100), .linger = std::chrono::milliseconds(50)}));
  RawClient client(server->port(), 16 * 1024);
  client.send(get("/f"));
  EXPECT_EQ(client.response(true).status, 200);  // and no more of it
  EXPECT_TRUE(server->wait_for_connections(0));
  EXPECT_EQ(server->limit_hits("http.send_timeout"), 1);
}

// At the limit of connections an idle one makes room, and without one the newcomer is told.
TEST_F(Http1Server, ConnectionLimitClosesIdleOnesOrRefuses) {
  const auto control = add_fed("/w", 10);
  routes.on("/a", text("alpha"));
  serve(with({.connections = 1}));
  RawClient busy(server->port());
  busy.send(get("/w"));
  ASSERT_TRUE(control->wait_until_waiting());
  RawClient refused(server->port());
  EXPECT_EQ(refused.response().status, 503);
  EXPECT_EQ(server->limit_hits("http.connections"), 1);
}

// Draining ends idle connections, lets a running response finish, and takes no new connection.
TEST_F(Http1Server, DrainFinishesRunningBodies) {
  const auto control = add_fed("/w", 6);
  routes.on("/a", text("alpha"));
  serve(with({.linger = std::chrono::milliseconds(100)}));
  RawClient idle(server->port());
  idle.send(get("/a"));
  EXPECT_EQ(idle.response().body, "alpha");
  RawClient busy(server->port());
  busy.send(get("/w"));
  busy.response(true);
  ASSERT_TRUE(control->wait_until_waiting());
  std::thread drain([&] { server->server->drain(std::chrono::seconds(10)); });
  EXPECT_EQ(idle.rest().second, Ending::kEof);
  control->feed("abcdef");
  const auto [all, ending] = busy.rest();
  EXPECT_EQ(all, "abcdef");
  EXPECT_EQ(ending, Ending::kEof);
  drain.join();
  EXPECT_EQ(server->server->connections(), 0U);
}

// What does not finish in time is cut with FIN.
TEST_F(Http1Server, DrainCutsWhatIsLeft) {
  const auto control = add_fed("/w", 6);
  serve();
  RawClient busy(server->port());
  busy.send(get("/w"));
  busy.response(true);
  ASSERT_TRUE(control->wait_until_waiting());
  std::thread drain([&] { server->server->drain(std::chrono::milliseconds(20)); });
  EXPECT_EQ(busy.rest(), std::pair(std::string(), Ending::kEof));
  busy.close();
  drain.join();
  EXPECT_TRUE(control->wait_until_destroyed());
}

// IPv6 works beside IPv4 on the same port, because the IPv6 socket takes IPv6 only.
TEST_F(Http1Server, ListensOnBothFamilies) {
  routes.on("/a", [](const Request& request) { return Response::text(200, "text/plain", request.remote); });
  ServerConfig config;
  config.listen = {"127.0.0.1:0", "[::1]:0"};
  serve(std::move(config));
  const auto addresses = server->server->addresses();
  ASSERT_EQ(addresses.size(), 2U);
  EXPECT_TRUE(addresses[1].starts_with("[::1]:"));
  RawClient v6(static_cast<std::uint16_t>(std::stoi(addresses[1].substr(6))), 0, "::1");
  v6.send(get("/a"));
  EXPECT_TRUE(v6.response().body.starts_with("[::1]:"));
}

// Addresses that cannot be listened on are errors with their code at creation.
TEST_F(Http1Server, CreateReportsWhatIsWrong) {
  serve();
  Loops loops(1);
  MetricsRegistry metrics;
  const auto code = [&](const std::string& address) {
    ServerConfig config;
    config.name = "x";
    config.listen = {address};
    const auto made = Server::create(std::move(config), loops, routes, metrics);
    return made ? std::nullopt : std::optional(made.error().code());
  };
  EXPECT_EQ(code(server->server->addresses().front()), Errc::kBusy);
  EXPECT_EQ(code("localhost:1"), Errc::kInvalid);
  EXPECT_EQ(code("127.0.0.1"), Errc::kInvalid);
  EXPECT_EQ(code("127.0.0.1:99999"), Errc::kInvalid);
  EXPECT_EQ(code("fd:0x"), Errc::kInvalid);
  EXPECT_EQ(code("fd:0"), Errc::kInvalid);
}

// A handler that throws is a 500, not the end of the loop.
TEST_F(Http1Server, ThrowingHandlerIsAnInternalError) {
  routes.on("/boom", [](const Request&) -> Response { throw std::runtime_error("boom"); });
  serve();
  RawClient client(server->port());
  client.send(get("/boom"));
  EXPECT_EQ(client.response().status, 500);
}

// Fields that would split the response or belong to the connection are not sent.
TEST_F(Http1Server, FieldsOfTheHandlerCannotSplitTheResponse) {
  routes.on("/a", [](const Request&) {
    auto response = Response::text(200, "text/plain", "ok");
    response.headers.add("X-Bad", "a\r\nX-Injected: 1");
    response.headers.add("Connection", "upgrade");
    response.headers.add("X-Good", "yes");
    return response;
  });
  serve();
  RawClient client(server->port());
  client.send(get("/a"));
  const auto response = client.response();
  EXPECT_EQ(response.header("x-injected"), "");
  EXPECT_EQ(response.header("x-bad"), "");
  EXPECT_EQ(response.header("connection"), "");
  EXPECT_EQ(response.header("x-good"), "yes");
}

}  // namespace
}  // namespace oxbow::http::test

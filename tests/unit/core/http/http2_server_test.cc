// HTTP/2 over real sockets: by prior knowledge and by ALPN.
#include <gtest/gtest.h>

#include <thread>

#include "h2_client.h"

namespace oxbow::http::test {
namespace {

constexpr std::uint32_t kInternalError = 2;
constexpr std::uint32_t kRefusedStream = 7;
constexpr std::uint32_t kEnhanceYourCalm = 11;

class Http2Server : public testing::Test {
 protected:
  void serve(ServerLimits limits = {}, bool tls = false, bool keep = false) {
    ServerConfig config;
    config.limits = limits;
    config.keep_request_bodies = keep;
    if (tls) config.tls = certificates.emplace().server();
    server = std::make_unique<TestServer>(routes, std::move(config));
    for (const auto& control : controls) control->loops = &server->loops;
    if (tls)
      channel = std::make_unique<Channel>(server->port(), Channel::Tls{{"h2"}, "", "", certificates->file("ca.pem")});
    else
      channel = std::make_unique<Channel>(server->port());
    ASSERT_TRUE(channel->connected());
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
  std::optional<Certificates> certificates;
  std::vector<std::shared_ptr<FedBody::Control>> controls;
  std::unique_ptr<TestServer> server;
  std::unique_ptr<Channel> channel;
};

// A request's parts arrive as over HTTP/1.1, the authority as Host, and the answer has an exact length.
TEST_F(Http2Server, AnswersByPriorKnowledge) {
  routes.on("/v2/a", [](const Request& request) {
    EXPECT_EQ(request.version, Version::kHttp2);
    EXPECT_FALSE(request.secure);
    return Response::text(200, "text/plain",
                          std::string(*request.headers.find("Host")) + " " + request.query + " " +
                              std::string(*request.headers.find("X-Y")));
  });
  serve();
  H2Client client(*channel);
  const auto id = client.request("GET", "/v2/a?ns=x", {{"x-y", "z"}});
  ASSERT_TRUE(client.finish(id));
  const auto& result = client.results[id];
  EXPECT_EQ(result.status, 200);
  EXPECT_EQ(result.body, "mirror:5050 ns=x z");
  EXPECT_EQ(result.headers.find("content-length"), "18");
  EXPECT_EQ(result.headers.find("server"), "oxbow");
  EXPECT_TRUE(result.headers.find("date"));
  EXPECT_EQ(result.error, 0U);
}

// HEAD keeps content-length and has no body.
TEST_F(Http2Server, HeadKeepsContentLength) {
  routes.on("/a", [](const Request&) { return Response::text(200, "text/plain", "alpha"); });
  serve();
  H2Client client(*channel);
  const auto id = client.request("HEAD", "/a");
  ASSERT_TRUE(client.finish(id));
  EXPECT_EQ(client.results[id].headers.find("content-length"), "5");
  EXPECT_EQ(client.results[id].body, "");
}

// Many streams share a connection and each gets its own bytes, on plain and on TLS connections.
TEST_F(Http2Server, MultiplexesFilesAndMemory) {
  std::vector<std::unique_ptr<TestFile>> files;
  for (unsigned i = 0; i < 8; ++i) {
    files.push_back(std::make_unique<TestFile>(1'500'000 + i * 77'777, i + 1));
    routes.on("/f" + std::to_string(i), [&file = *files.back()](const Request&) { return file_response(file); });
    routes.on("/m" + std::to_string(i), [&file = *files.back()](const Request&) {
      return Response::text(200, "application/octet-stream", file.content);
    });
  }
  for (const bool tls : {false, true}) {
    serve({}, tls);
    H2Client client(*channel);
    std::map<std::int32_t, unsigned> asked;
    for (unsigned i = 0; i < 8; ++i) {
      asked[client.request("GET", "/f" + std::to_string(i))] = i;
      asked[client.request("GET", "/m" + std::to_string(i))] = i;
    }
    for (const auto& [id, i] : asked) {
      ASSERT_TRUE(client.finish(id));
      EXPECT_TRUE(client.results[id].body == files[i]->content) << "tls " << tls << " file " << i;
    }
  }
}

// Frames grow to the peer's maximum, at most 256 KiB.
TEST_F(Http2Server, UsesLargeFramesWhereThePeerTakesThem) {
  const TestFile file(3'000'000);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve();
  H2Client large(*channel, {.frame_bytes = 1U << 20});
  auto id = large.request("GET", "/f");
  ASSERT_TRUE(large.finish(id));
  EXPECT_TRUE(large.results[id].body == file.content);
  EXPECT_GT(large.results[id].largest_frame, 128U * 1024);
  EXPECT_LE(large.results[id].largest_frame, 256U * 1024);
  Channel second(server->port());
  H2Client small(second, {.frame_bytes = 16'384});
  id = small.request("GET", "/f");
  ASSERT_TRUE(small.finish(id));
  EXPECT_TRUE(small.results[id].body == file.content);
  EXPECT_LE(small.results[id].largest_frame, 16'384U);
}

// No byte goes out beyond the peer's window, and the body is not asked for more than that.
TEST_F(Http2Server, ObeysFlowControl) {
  const auto control = add_fed("/w", 1'000'000);
  for (int i = 0; i < 100; ++i) control->feed(std::string(10'000, 'x'));
  serve();
  H2Client client(*channel, {.window_bytes = 1'000});
  const auto id = client.request("GET", "/w");
  ASSERT_TRUE(client.run_until([&] { return client.results[id].body.size() >= 1'000; }));
  client.ping();
  EXPECT_LE(control->pulled(), 20'000U);
  ASSERT_TRUE(client.finish(id));  // the client's library returns the window as it reads
  EXPECT_EQ(client.results[id].body.size(), 1'000'000U);
}

// A body that waits sends its header at once and goes on when woken; other streams pass it meanwhile.
TEST_F(Http2Server, WaitingBodyBlocksNobody) {
  const auto control = add_fed("/w", 6);
  routes.on("/a", [](const Request&) { return Response::text(200, "text/plain", "alpha"); });
  serve();
  H2Client client(*channel);
  const auto waiting = client.request("GET", "/w");
  ASSERT_TRUE(client.run_until([&] { return client.results[waiting].status == 200; }));
  ASSERT_TRUE(control->wait_until_waiting());
  const auto quick = client.request("GET", "/a");
  ASSERT_TRUE(client.finish(quick));
  EXPECT_EQ(client.results[quick].body, "alpha");
  control->feed("abcdef");
  ASSERT_TRUE(client.finish(waiting));
  EXPECT_EQ(client.results[waiting].body, "abcdef");
}

// A body without length ends with its stream.
TEST_F(Http2Server, UnknownLengthEndsWithTheStream) {
  const auto control = add_fed("/u", std::nullopt);
  control->feed("one");
  control->feed("two");
  control->feed(Piece(End{}));
  serve();
  H2Client client(*channel);
  const auto id = client.request("GET", "/u");
  ASSERT_TRUE(client.finish(id));
  EXPECT_EQ(client.results[id].body, "onetwo");
  EXPECT_FALSE(client.results[id].headers.find("content-length"));
  EXPECT_EQ(client.results[id].error, 0U);
}

// Cut, too short and too long bodies end with RST_STREAM(INTERNAL_ERROR); the connection lives on.
TEST_F(Http2Server, CutIsResetStream) {
  const auto cut = add_fed("/cut", 100);
  cut->feed("only this");
  cut->feed(Piece(Cut{Error(Errc::kUnavailable, "gone")}));
  const auto little = add_fed("/little", 10);
  little->feed("abc");
  little->feed(Piece(End{}));
  add_fed("/much", 2)->feed("abc");
  routes.on("/a", [](const Request&) { return Response::text(200, "text/plain", "alpha"); });
  serve();
  H2Client client(*channel);
  for (const auto* path : {"/cut", "/little", "/much"}) {
    const auto id = client.request("GET", path);
    ASSERT_TRUE(client.finish(id));
    EXPECT_EQ(client.results[id].error, kInternalError) << path;
  }
  const auto id = client.request("GET", "/a");
  ASSERT_TRUE(client.finish(id));
  EXPECT_EQ(client.results[id].body, "alpha");
  EXPECT_TRUE(cut->wait_until_destroyed());
}

// A stream that the client resets destroys its body at once, whether it waits or sends.
TEST_F(Http2Server, ResetDestroysTheBody) {
  const auto control = add_fed("/w", 100);
  serve();
  H2Client client(*channel);
  const auto id = client.request("GET", "/w");
  ASSERT_TRUE(client.run_until([&] { return client.results[id].status == 200; }));
  ASSERT_TRUE(control->wait_until_waiting());
  client.reset(id);
  client.send();
  EXPECT_TRUE(control->wait_until_destroyed());
  EXPECT_EQ(server->server->connections(), 1U);
}

// A client that leaves destroys the bodies of all its streams.
TEST_F(Http2Server, LeavingDestroysAllBodies) {
  const auto first = add_fed("/w1", 100);
  const auto second = add_fed("/w2", 100);
  serve();
  H2Client client(*channel);
  client.request("GET", "/w1");
  client.request("GET", "/w2");
  client.send();
  ASSERT_TRUE(first->wait_until_waiting());
  ASSERT_TRUE(second->wait_until_waiting());
  channel->close();
  EXPECT_TRUE(first->wait_until_destroyed());
  EXPECT_TRUE(second->wait_until_destroyed());
}

// Opening and resetting streams without end closes the connection (rapid reset), and is counted.
TEST_F(Http2Server, RapidResetClosesTheConnection) {
  add_fed("/w", 100);
  serve({.h2_resets_per_second = 20, .linger = std::chrono::milliseconds(50)});
  H2Client client(*channel);
  ASSERT_TRUE(client.finish(client.request("GET", "/none")));
  for (int i = 0; i < 200; ++i) {
    const auto id = client.request("GET", "/w");
    client.send();
    client.reset(id);
    client.send();
  }
  EXPECT_FALSE(client.run_until([] { return false; }));
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(client.goaway_error, kEnhanceYourCalm);
  EXPECT_EQ(server->limit_hits("http.h2_resets_per_second"), 1);
  EXPECT_TRUE(server->wait_for_connections(0));
}

// A flood of pings closes the connection.
TEST_F(Http2Server, PingFloodClosesTheConnection) {
  serve();
  H2Client client(*channel);
  for (int i = 0; i < 5'000; ++i) client.ping();
  EXPECT_FALSE(client.run_until([] { return false; }));
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(server->limit_hits("http.h2_control_frames"), 1);
}

// Streams above the limit are refused, so that the client may try again, and counted.
TEST_F(Http2Server, RefusesStreamsAboveTheLimit) {
  add_fed("/w", 100);
  serve({.h2_streams = 4});
  H2Client client(*channel);
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(client.request("GET", "/w"));
  ASSERT_TRUE(client.finish(ids[5]));
  EXPECT_EQ(client.results[ids[5]].error, kRefusedStream);
  EXPECT_GE(server->limit_hits("http.h2_streams"), 1);
}

// Headers above the limit are 431, and 64 KiB of them are a normal request.
TEST_F(Http2Server, LargeHeadersWorkAndLargerOnesAre431) {
  routes.on("/a", [](const Request& request) {
    std::size_t total = 0;
    for (const auto& value : request.headers.all("range")) total += value.size();
    return Response::text(200, "text/plain", std::to_string(total));
  });
  serve();
  H2Client client(*channel);
  const auto fits = client.request("GET", "/a", {{"range", std::string(66'000, '1')}});
  ASSERT_TRUE(client.finish(fits));
  EXPECT_EQ(client.results[fits].body, "66000");
  const auto large = client.request("GET", "/a", {{"a", std::string(50'000, 'x')}, {"b", std::string(60'000, 'x')}});
  ASSERT_TRUE(client.finish(large));
  EXPECT_EQ(client.results[large].status, 431);
  EXPECT_EQ(server->limit_hits("http.header_bytes"), 1);
}

// Bodies of requests are kept or dropped, and 413 above the limit; the connection lives on.
TEST_F(Http2Server, RequestBodiesHaveALimit) {
  routes.on("/echo", [](const Request& request) { return Response::text(200, "text/plain", request.body + "."); });
  serve({.request_body_bytes = 100'000}, false, true);
  H2Client client(*channel);
  const auto small = client.request("PUT", "/echo", {}, "hello");
  ASSERT_TRUE(client.finish(small));
  EXPECT_EQ(client.results[small].body, "hello.");
  const auto large = client.request("PUT", "/echo", {}, std::string(300'000, 'b'));
  ASSERT_TRUE(client.finish(large));
  EXPECT_EQ(client.results[large].status, 413);
  const auto asked = client.request("PUT", "/echo", {{"expect", "100-continue"}}, "again");
  ASSERT_TRUE(client.finish(asked));
  EXPECT_EQ(client.results[asked].body, "again.");
  EXPECT_EQ(client.results[asked].informational, std::vector{100});
}

// A request whose body stands still is answered with 408, alone: the connection and what else it carries go on.
TEST_F(Http2Server, AStandingBodyIsRefusedAlone) {
  const auto live = add_fed("/live", std::nullopt);
  serve({.header_timeout = std::chrono::milliseconds(200), .send_timeout = std::chrono::milliseconds(100)}, false,
        true);
  H2Client client(*channel);
  const auto running = client.request("GET", "/live");
  const auto late = client.request("PUT", "/late", {}, "some");
  client.keep_open(late);
  ASSERT_TRUE(client.finish(late));
  EXPECT_EQ(client.results[late].status, 408);
  EXPECT_EQ(server->limit_hits("http.header_timeout"), 1);
  live->feed("x");
  live->feed(Piece(End{}));
  ASSERT_TRUE(client.finish(running));
  EXPECT_EQ(client.results[running].body, "x");
  EXPECT_EQ(client.results[running].error, 0U);
  EXPECT_EQ(server->server->connections(), 1U);
}

// A drained connection says GOAWAY, finishes its streams, then ends.
TEST_F(Http2Server, DrainFinishesStreams) {
  const auto control = add_fed("/w", 6);
  serve({.linger = std::chrono::milliseconds(100)});
  H2Client client(*channel);
  const auto id = client.request("GET", "/w");
  ASSERT_TRUE(client.run_until([&] { return client.results[id].status == 200; }));
  ASSERT_TRUE(control->wait_until_waiting());
  std::thread drain([&] { server->server->drain(std::chrono::seconds(10)); });
  ASSERT_TRUE(client.run_until([&] { return client.goaway; }));
  control->feed("abcdef");
  ASSERT_TRUE(client.finish(id));
  EXPECT_EQ(client.results[id].body, "abcdef");
  EXPECT_EQ(client.results[id].error, 0U);
  EXPECT_FALSE(client.run_until([] { return false; }));
  EXPECT_TRUE(client.ended);
  drain.join();
}

// A client that opens no window is cut after send_timeout.
TEST_F(Http2Server, ClosedWindowIsCutAfterSendTimeout) {
  const TestFile file(1'000'000);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve({.send_timeout = std::chrono::milliseconds(100), .linger = std::chrono::milliseconds(50)});
  H2Client client(*channel, {.window_bytes = 0});
  client.request("GET", "/f");
  EXPECT_FALSE(client.run_until([] { return false; }));
  EXPECT_TRUE(client.ended);
  EXPECT_EQ(server->limit_hits("http.send_timeout"), 1);
}

// A response that its client has stopped by a window is reset after send_timeout, while another of the same connection
// moves; that one goes on.
TEST_F(Http2Server, AStoppedStreamIsResetBesideALiveOne) {
  const auto live = add_fed("/live", std::nullopt);
  const auto stopped = add_fed("/stopped", 1'000);
  stopped->feed(std::string(1'000, 'x'));
  serve({.send_timeout = std::chrono::milliseconds(1'500)});
  H2Client client(*channel, {.window_bytes = 0});
  const auto moving = client.request("GET", "/live");
  const auto still = client.request("GET", "/stopped");
  client.send();
  client.open_window(moving, 1 << 20);
  while (!client.results[still].closed) {
    const auto had = client.results[moving].body.size();
    live->feed("x");
    ASSERT_TRUE(
        client.run_until([&] { return client.results[still].closed || client.results[moving].body.size() > had; }));
  }
  EXPECT_EQ(client.results[still].error, kInternalError);
  EXPECT_TRUE(stopped->wait_until_destroyed());
  EXPECT_EQ(server->limit_hits("http.send_timeout"), 1);
  live->feed(Piece(End{}));
  ASSERT_TRUE(client.finish(moving));
  EXPECT_EQ(client.results[moving].error, 0U);
  EXPECT_EQ(server->server->connections(), 1U);
}

// Bytes that are no HTTP/2 end the connection with GOAWAY.
TEST_F(Http2Server, GarbageEndsTheConnection) {
  serve({.linger = std::chrono::milliseconds(50)});
  channel->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(100, '\xff'));
  channel->read_all();
  EXPECT_TRUE(server->wait_for_connections(0));
}

}  // namespace
}  // namespace oxbow::http::test

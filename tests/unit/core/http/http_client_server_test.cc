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
  TestFile file{24UL * 1024 * 1024};
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

// A body larger than both windows arrives whole, over plaintext and over TLS.
TEST_F(HttpClient, LargeBodiesArriveWhole) {
  certificates.issue("node", "node-1", "node-1");
  for (const bool tls : {false, true}) {
    serve(tls);
    const auto connection = client.connect(server->port(), tls ? identity("node") : nullptr, tls ? "localhost" : "");
    RecordingSink sink;
    const auto call = connection->call(get_request("/file"), sink);
    ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
    EXPECT_TRUE(sink.outcome) << sink.outcome.error().what();
    EXPECT_TRUE(sink.body == file.content);
  }
}

}  // namespace
}  // namespace oxbow::http::test

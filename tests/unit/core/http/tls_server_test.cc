// TLS: ALPN, client certificates, reload, large bodies.
#include <gtest/gtest.h>

#include <thread>

#include "h2_client.h"

namespace oxbow::http::test {
namespace {

class TlsServer : public testing::Test {
 protected:
  void serve(bool ask_clients = false, ServerLimits limits = {}) {
    routes.on("/who", [](const Request& request) {
      return Response::text(200, "text/plain",
                            (request.secure ? "secure " : "plain ") + request.peer_name.value_or("nobody"));
    });
    ServerConfig config;
    config.tls = certificates.server(ask_clients);
    config.limits = limits;
    server = std::make_unique<TestServer>(routes, std::move(config));
  }
  Channel::Tls trusting(std::vector<std::string> alpn = {}) {
    return {std::move(alpn), "", "", certificates.file("ca.pem")};
  }

  Certificates certificates;
  Routes routes;
  std::unique_ptr<TestServer> server;
};

constexpr std::string_view kAsk = "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

// Clients without ALPN, as containerd is, and with http/1.1 speak HTTP/1.1; h2 is chosen when offered.
TEST_F(TlsServer, AlpnChoosesTheProtocol) {
  serve();
  Channel none(server->port(), trusting());
  ASSERT_TRUE(none.connected());
  EXPECT_EQ(none.alpn(), "");
  none.write(kAsk);
  EXPECT_TRUE(none.read_all().ends_with("secure nobody"));
  Channel old(server->port(), trusting({"http/1.1"}));
  EXPECT_EQ(old.alpn(), "http/1.1");
  old.write(kAsk);
  EXPECT_TRUE(old.read_all().ends_with("secure nobody"));
  Channel both(server->port(), trusting({"http/1.1", "h2"}));
  EXPECT_EQ(both.alpn(), "h2");
  H2Client client(both);
  const auto id = client.request("GET", "/who");
  ASSERT_TRUE(client.finish(id));
  EXPECT_EQ(client.results[id].body, "secure nobody");
  EXPECT_FALSE(Channel(server->port(), trusting({"spdy/3"})).connected());
}

// With a client CA set, only its clients get in, and the handler learns their DNS name. A common name is no name.
TEST_F(TlsServer, ClientCertificatesNameThePeer) {
  certificates.issue("node", "some node", "node-7");
  certificates.issue("bare", "node-8", "");
  serve(true);
  for (const auto& [name, expected] : {std::pair("node", "node-7"), std::pair("bare", "nobody")}) {
    auto tls = trusting();
    tls.certificate_file = certificates.file(std::string(name) + ".pem");
    tls.key_file = certificates.file(std::string(name) + ".key");
    Channel channel(server->port(), tls);
    ASSERT_TRUE(channel.connected());
    channel.write(kAsk);
    EXPECT_TRUE(channel.read_all().ends_with(std::string("secure ") + expected));
  }
  Channel stranger(server->port(), trusting());
  stranger.write(kAsk);
  EXPECT_EQ(stranger.read_all(), "");
  EXPECT_EQ(routes.calls(), 2);
}

// Files arrive byte for byte through TLS, to readers of any speed.
TEST_F(TlsServer, SendsFiles) {
  const TestFile file(5'000'001);
  routes.on("/f", [&](const Request&) { return file_response(file); });
  serve();
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      Channel channel(server->port(), trusting());
      channel.write("GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      const auto all = channel.read_all();
      if (all.substr(all.find("\r\n\r\n") + 4) == file.content) ++right;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 3);
}

// A renewed certificate is used without a restart, and a broken one changes nothing.
TEST_F(TlsServer, ReloadsCertificates) {
  serve();
  EXPECT_EQ(Channel(server->port(), trusting()).server_name(), "localhost");
  const auto name_within = [&](const std::string& wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    for (;;) {
      Channel channel(server->port(), trusting());
      if (!channel.connected()) return false;
      if (channel.server_name() == wanted) return true;
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  };
  certificates.issue("server", "renewed", "localhost");
  EXPECT_TRUE(name_within("renewed"));
  ASSERT_EQ(::truncate(certificates.file("server.pem").c_str(), 10), 0);
  EXPECT_TRUE(name_within("renewed"));
}

// A client that does not get on with its handshake is closed, and counted.
TEST_F(TlsServer, HandshakeHasATimeout) {
  serve(false, {.tls_timeout = std::chrono::milliseconds(80)});
  RawClient silent(server->port());
  EXPECT_EQ(silent.rest().second, RawClient::Ending::kEof);
  EXPECT_EQ(server->limit_hits("http.tls_timeout"), 1);
}

// What is no TLS is closed and harms nobody.
TEST_F(TlsServer, PlaintextIsClosed) {
  serve();
  RawClient plain(server->port());
  plain.send(get("/who"));
  plain.rest();
  EXPECT_TRUE(server->wait_for_connections(0));
  EXPECT_EQ(routes.calls(), 0);
}

// Bad certificate files are errors at creation that name the file.
TEST_F(TlsServer, CreateReportsBadCertificates) {
  serve();
  Loops loops(1);
  MetricsRegistry metrics;
  const auto make = [&](TlsConfig tls) {
    ServerConfig config;
    config.name = "x";
    config.listen = {"127.0.0.1:0"};
    config.tls = std::move(tls);
    return Server::create(std::move(config), loops, routes, metrics);
  };
  const auto missing = make({certificates.file("none.pem"), certificates.file("server.key"), ""});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Errc::kInvalid);
  EXPECT_NE(missing.error().what().find("none.pem"), std::string::npos);
  certificates.issue("other", "other", "");
  EXPECT_FALSE(make({certificates.file("server.pem"), certificates.file("other.key"), ""}));
}

}  // namespace
}  // namespace oxbow::http::test

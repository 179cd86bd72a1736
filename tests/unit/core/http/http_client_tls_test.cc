// Who may talk to whom: mutual TLS between the HTTP/2 client and our server, and renewed files on both ends.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/http/peer_certificate.h"
#include "http_client_support.h"

namespace oxbow::http::test {
namespace {

class HttpClientTls : public testing::Test {
 protected:
  HttpClientTls() {
    certificates.issue("server", "ignored", "node-1");
    certificates.issue("node", "node-2", "node-2");
    routes.on("/who", [](const Request& request) {
      return Response::text(200, "x/y", request.peer_name.value_or("-") + " " + request.peer_serial.value_or("-"));
    });
  }
  void serve(const Certificates& by) {
    ServerConfig config;
    config.tls = by.server(true);
    server = std::make_unique<TestServer>(routes, std::move(config));
  }
  /// What a call with these files and this expectation ends with.
  void ask(ClientTlsConfig files, const std::string& expected_name) {
    auto tls = make_client_tls(std::move(files));
    ASSERT_TRUE(tls) << tls.error().what();
    ask(*tls, expected_name);
  }
  void ask(std::shared_ptr<ClientTls> tls, const std::string& expected_name) {
    sink = {};
    connection = client.connect(server->port(), std::move(tls), expected_name);
    const auto call = connection->call(get_request("/who"), sink);
    ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  }
  /// A call whose answer never ends is under way, on a connection that looks at the server every second. A look also
  /// sends a PING that has to be answered before the next one: a busy machine needs that long.
  void begin_endless(ClientTlsConfig files) {
    const auto silent = std::make_shared<FedBody::Control>();
    routes.on("/never", [silent](const Request&) {
      Response response;
      response.status = 200;
      response.body = std::make_unique<FedBody>(silent);
      return response;
    });
    serve(certificates);
    silent->loops = &server->loops;
    auto tls = make_client_tls(std::move(files));
    ASSERT_TRUE(tls) << tls.error().what();
    connection = client.connect(server->port(), *tls, "node-1", {.ping_interval = std::chrono::seconds(1)});
    endless = connection->call(get_request("/never"), sink);
    ASSERT_TRUE(client.until([&] { return routes.calls() == 1; }));
  }
  std::string said() const { return sink.outcome ? "" : sink.outcome.error().what(); }

  Certificates certificates;
  Certificates stranger;
  Routes routes;
  std::unique_ptr<TestServer> server;
  ClientLoop client;
  RecordingSink sink;
  std::shared_ptr<ClientConnection> connection;
  std::unique_ptr<ClientCall> endless;
};

// Both ends learn the other's DNS name, and the handler the serial number too.
TEST_F(HttpClientTls, BothEndsAreNamed) {
  serve(certificates);
  ask(client_files(certificates, "node"), "node-1");
  EXPECT_TRUE(sink.outcome) << said();
  EXPECT_EQ(sink.body, "node-2 04");
  EXPECT_EQ(connection->peer_name(), "node-1");
  ask(client_files(certificates, "node"), "");
  EXPECT_TRUE(sink.outcome) << said();
}

// A revoked serial number is noticed when connecting, while the name is good.
TEST_F(HttpClientTls, RevokedServersAreDenied) {
  serve(certificates);
  auto files = client_files(certificates, "node");
  std::string asked;
  bool revoked = false;
  files.revoked = [&](const std::string& serial) {
    asked = serial;
    return revoked;
  };
  ask(files, "node-1");
  EXPECT_TRUE(sink.outcome) << said();
  EXPECT_FALSE(asked.empty());
  revoked = true;
  ask(files, "node-1");
  ASSERT_FALSE(sink.outcome);
  EXPECT_EQ(sink.outcome.error().code(), Errc::kDenied);
  EXPECT_NE(said().find(asked + " is revoked"), std::string::npos) << said();
}

// What is revoked while a call runs ends that call, at the connection's next look.
TEST_F(HttpClientTls, ARevokedServerLosesItsRunningCalls) {
  auto files = client_files(certificates, "node");
  bool revoked = false;
  files.revoked = [&](const std::string&) { return revoked; };
  begin_endless(std::move(files));
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_EQ(sink.dones, 0);
  revoked = true;
  ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
}

// A server that is somebody else, or signed by another CA, or expired is denied before a request is sent.
TEST_F(HttpClientTls, WrongServersAreDenied) {
  serve(certificates);
  ask(client_files(certificates, "node"), "node-9");
  EXPECT_EQ(sink.error(), Errc::kDenied);
  EXPECT_NE(said().find("not for \"node-9\" but for \"node-1\""), std::string::npos) << said();

  auto files = client_files(certificates, "node");
  files.ca_file = stranger.file("ca.pem");
  ask(files, "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();

  certificates.issue("server", "ignored", "node-1", 60);
  serve(certificates);
  ask(client_files(certificates, "node"), "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied);
  EXPECT_NE(said().find("expired"), std::string::npos) << said();
  EXPECT_EQ(routes.calls(), 0);
}

// The server refuses clients of another CA and expired ones; the client learns why. (A client without a certificate
// cannot be made; TlsServer's tests show that the server refuses one.)
TEST_F(HttpClientTls, WrongClientsAreDenied) {
  serve(certificates);
  stranger.issue("node", "node-2", "node-2");
  auto files = client_files(stranger, "node");
  files.ca_file = certificates.file("ca.pem");
  ask(files, "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
  certificates.issue("old", "node-2", "node-2", 60);
  ask(client_files(certificates, "old"), "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
  EXPECT_EQ(routes.calls(), 0);
}

// Files that are missing, broken or do not fit each other are told at start, by name.
TEST_F(HttpClientTls, BadFilesAreToldAtStart) {
  auto files = client_files(certificates, "node");
  files.key_file = certificates.file("server.key");
  EXPECT_EQ(make_client_tls(files).error().code(), Errc::kInvalid);
  files = client_files(certificates, "node");
  files.ca_file = certificates.file("nowhere.pem");
  auto failed = make_client_tls(files);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().what().find("nowhere.pem"), std::string::npos) << failed.error().what();
  std::ofstream(certificates.file("node.pem")) << "no certificate";
  failed = make_client_tls(client_files(certificates, "node"));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().what().find("node.pem"), std::string::npos) << failed.error().what();
  EXPECT_FALSE(make_client_tls({}));
}

// Renewed client files are used by the next connection; broken ones leave the last good ones in place.
TEST_F(HttpClientTls, RenewedClientFilesAreUsed) {
  serve(certificates);
  auto tls = make_client_tls(client_files(certificates, "node"));
  ASSERT_TRUE(tls);
  ask(*tls, "node-1");
  EXPECT_EQ(sink.body, "node-2 04");
  certificates.issue("node", "node-2", "node-2");
  ask(*tls, "node-1");
  EXPECT_EQ(sink.body, "node-2 05");
  std::ofstream(certificates.file("node.pem")) << "half a cert";
  ask(*tls, "node-1");
  EXPECT_EQ(sink.body, "node-2 05") << said();
}

// The server's own client CA may be replaced: the clients of the new one get in, those of the old one do not.
TEST_F(HttpClientTls, AReplacedClientCaCounts) {
  serve(certificates);
  stranger.issue("node", "node-3", "node-3");
  auto files = client_files(stranger, "node");
  files.ca_file = certificates.file("ca.pem");
  ask(files, "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
  const auto old_ca = certificates.file("old-ca.pem");
  std::filesystem::rename(certificates.file("ca.pem"), old_ca);
  std::filesystem::copy(stranger.file("ca.pem"), certificates.file("ca.pem"));
  files.ca_file = old_ca;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  do {  // the server looks at its files once a second
    ask(files, "node-1");
  } while (!sink.outcome && std::chrono::steady_clock::now() < end);
  EXPECT_EQ(sink.body.substr(0, 7), "node-3 ") << said();
  files = client_files(certificates, "node");
  files.ca_file = old_ca;
  ask(files, "node-1");
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
}

/// Clients on standing connections, judged by the server with each request, by a clock that the test moves.
class StandingClients : public HttpClientTls {
 protected:
  StandingClients() {
    routes.on("/good", [this](const Request& request) {
      const auto good = request.peer_certificate->check(std::chrono::system_clock::now() + ahead.load());
      return Response::text(200, "x/y", good ? "good" : good.error().what());
    });
    serve(certificates);
    client_ca = certificates.file("client-side-ca.pem");
    std::filesystem::copy(certificates.file("ca.pem"), client_ca);
    standing = connect(certificates);
    EXPECT_EQ(ask_on(standing), "good");
  }
  std::shared_ptr<ClientConnection> connect(const Certificates& by) {
    auto files = client_files(by, "node");
    files.ca_file = client_ca;
    auto tls = make_client_tls(std::move(files));
    EXPECT_TRUE(tls);
    return client.connect(server->port(), *tls, "node-1");
  }
  std::string ask_on(const std::shared_ptr<ClientConnection>& on) {
    sink = {};
    const auto call = on->call(get_request("/good"), sink);
    EXPECT_TRUE(client.until([&] { return sink.dones == 1; }));
    return sink.outcome ? sink.body : said();
  }
  /// The server's file of the CAs from now on.
  void replace_ca(std::initializer_list<std::string> files) {
    const auto fresh = certificates.file("ca.new");
    std::ofstream out(fresh);
    for (const auto& file : files) out << std::ifstream(file).rdbuf();
    out.close();
    std::filesystem::rename(fresh, certificates.file("ca.pem"));
  }

  std::atomic<std::chrono::hours> ahead{std::chrono::hours(0)};
  std::string client_ca;
  std::shared_ptr<ClientConnection> standing;
};

// A certificate that was good when the connection was made expires with its end, by the clock of who asks.
TEST_F(StandingClients, Expire) {
  ahead = std::chrono::hours(23);
  EXPECT_EQ(ask_on(standing), "good");
  ahead = std::chrono::hours(25);
  EXPECT_EQ(ask_on(standing), "the certificate has expired");
  ahead = std::chrono::hours(0);  // a clock that was wrong for a while costs nobody his connection
  EXPECT_EQ(ask_on(standing), "good");
  EXPECT_TRUE(standing->connected());
}

// So does one whose CA ends before it does.
TEST_F(StandingClients, ExpireWithTheirCa) {
  certificates.issue("node", "node-2", "node-2", 10 * 86'400);
  standing = connect(certificates);
  EXPECT_EQ(ask_on(standing), "good");
  ahead = std::chrono::hours(25);
  EXPECT_EQ(ask_on(standing), "the certificate is good no more: certificate has expired");
  ahead = std::chrono::hours(0);
  EXPECT_EQ(ask_on(standing), "good");
}

// Who was let in by a CA that is in the file no more is refused, though the connection stands; a CA that is only joined
// by another goes on counting.
TEST_F(StandingClients, GoWithTheirCa) {
  const auto old_ca = client_ca;
  stranger.issue("node", "node-3", "node-3");
  const auto fresh = [&] { return connect(stranger); };
  EXPECT_NE(ask_on(fresh()), "good");
  replace_ca({old_ca, stranger.file("ca.pem")});
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto until = [&](const auto& done) {  // the server looks at its files once a second
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
    }
    return true;
  };
  ASSERT_TRUE(until([&] { return ask_on(fresh()) == "good"; }));
  EXPECT_EQ(ask_on(standing), "good");
  EXPECT_EQ(ask_on(standing), "good");
  const auto newcomer = fresh();
  EXPECT_EQ(ask_on(newcomer), "good");

  replace_ca({stranger.file("ca.pem")});
  ASSERT_TRUE(until([&] { return ask_on(standing) != "good"; }));
  EXPECT_TRUE(ask_on(standing).starts_with("the certificate is good no more: ")) << ask_on(standing);
  EXPECT_TRUE(standing->connected());
  EXPECT_EQ(ask_on(newcomer), "good");

  replace_ca({old_ca});
  ASSERT_TRUE(until([&] { return ask_on(newcomer) != "good"; }));
  EXPECT_EQ(ask_on(standing), "good");
}

// The client's side: a running call to a server whose CA is in the client's file no more ends, at the connection's next
// look; where the CA is only joined by another it goes on.
TEST_F(HttpClientTls, AServerOfADroppedCaLosesItsRunningCalls) {
  auto files = client_files(certificates, "node");
  files.ca_file = certificates.file("own-ca.pem");
  std::filesystem::copy(certificates.file("ca.pem"), files.ca_file);
  int looks = 0;
  files.revoked = [&](const std::string&) { return ++looks == 0; };
  const auto write_ca = [path = files.ca_file](std::initializer_list<std::string> cas) {
    std::ofstream out(path + ".new");
    for (const auto& ca : cas) out << std::ifstream(ca).rdbuf();
    out.close();
    std::filesystem::rename(path + ".new", path);
  };
  begin_endless(std::move(files));
  ASSERT_FALSE(HasFatalFailure());
  write_ca({certificates.file("ca.pem"), stranger.file("ca.pem")});
  // The first look has the new file; by the second one the first has been answered for.
  ASSERT_TRUE(client.until([&, before = looks] { return looks >= before + 2 || sink.dones > 0; }));
  EXPECT_EQ(sink.dones, 0) << said();
  write_ca({stranger.file("ca.pem")});
  ASSERT_TRUE(client.until([&] { return sink.dones == 1; }));
  EXPECT_EQ(sink.error(), Errc::kDenied) << said();
}

}  // namespace
}  // namespace oxbow::http::test

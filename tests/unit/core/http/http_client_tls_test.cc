// Who may talk to whom: mutual TLS between the HTTP/2 client and our server, and renewed files on both ends.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
  std::string said() const { return sink.outcome ? "" : sink.outcome.error().what(); }

  Certificates certificates;
  Certificates stranger;
  Routes routes;
  std::unique_ptr<TestServer> server;
  ClientLoop client;
  RecordingSink sink;
  std::shared_ptr<ClientConnection> connection;
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
  const auto silent = std::make_shared<FedBody::Control>();
  routes.on("/never", [silent](const Request&) {
    Response response;
    response.status = 200;
    response.body = std::make_unique<FedBody>(silent);
    return response;
  });
  serve(certificates);
  silent->loops = &server->loops;
  auto files = client_files(certificates, "node");
  bool revoked = false;
  files.revoked = [&](const std::string&) { return revoked; };
  auto tls = make_client_tls(std::move(files));
  ASSERT_TRUE(tls) << tls.error().what();
  connection = client.connect(server->port(), *tls, "node-1", {.ping_interval = std::chrono::milliseconds(20)});
  const auto call = connection->call(get_request("/never"), sink);
  ASSERT_TRUE(client.until([&] { return routes.calls() == 1; }));
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

}  // namespace
}  // namespace oxbow::http::test

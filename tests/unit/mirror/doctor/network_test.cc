// Registries and peers: each broken, and named with its fix.
#include "fake_system.h"
#include "mirror/ring_options.h"
#include "p2p/protocol/messages.h"

namespace oxbow::mirror::doctor {
namespace {

using nlohmann::json;
using Stage = HttpReply::Stage;

HttpReply failed(Stage stage, std::string error) {
  HttpReply out;
  out.stage = stage;
  out.error = std::move(error);
  return out;
}

class UpstreamTest : public DoctorTest {
 protected:
  static constexpr const char* kUrl = "https://registry.test/v2/";
  static constexpr const char* kOneRegistry = "[[registry]]\nname = \"registry.test\"\n";
  static constexpr const char* kWithPassword =
      "[[registry]]\nname = \"registry.test\"\ncredentials = \"node\"\n"
      "credential_source = { username = \"robot\", password_file = \"/etc/oxbow/password\" }\n";

  UpstreamTest() {
    config = configured(kOneRegistry);
    system.web[kUrl] = FakeSystem::reply(200);
  }

  std::vector<Finding> look() {
    gather();
    return findings(check_upstreams);
  }
  void gather() {
    network = {};
    auto its = subject();
    gather_upstreams(its);
    network = its.network;
  }
  void expect_now(Level level, const std::string& id, const std::vector<std::string>& words) {
    gather();
    expect(check_upstreams, level, id, words);
  }
  void breaks(Stage stage, const std::string& error, const std::vector<std::string>& words) {
    system.web[kUrl] = failed(stage, error);
    expect_now(Level::kFail, "upstream.unreached", words);
  }
};

TEST_F(UpstreamTest, Good) {
  gather();
  expect_good(check_upstreams);
}

TEST_F(UpstreamTest, EachStageByItsName) {
  breaks(Stage::kNothing, "Could not resolve host", {"name not found", "getent hosts registry.test"});
  breaks(Stage::kResolved, "Connection refused", {"no connection", "refused", "curl -v https://registry.test/v2/"});
  breaks(Stage::kConnected, "self-signed certificate", {"TLS", "ca = \"/path/ca.crt\""});
  breaks(Stage::kSecured, "timed out", {"no answer"});
  system.web[kUrl] = FakeSystem::reply(404);
  expect_now(Level::kFail, "upstream.unreached", {"404", "upstreams"});
  system.web[kUrl] = FakeSystem::reply(503);
  expect_now(Level::kFail, "upstream.unreached", {"503"});
  system.web[kUrl] = FakeSystem::reply(429);
  expect_now(Level::kWarn, "upstream.one_url", {"429"});
}

TEST_F(UpstreamTest, AProxyThatOnlyOthersUse) {
  system.variables["HTTPS_PROXY"] = "http://me:secret@proxy.test:3128";
  breaks(Stage::kResolved, "timed out", {"HTTPS_PROXY", "proxy = \"http://", "proxy.test:3128"});
  for (const auto& finding : look()) EXPECT_FALSE(finding.fix.contains("secret")) << finding.fix;
}

TEST_F(UpstreamTest, TheOtherUrlHelps) {
  config = configured(
      "[[registry]]\nname = \"registry.test\"\nupstreams = [\"https://down.test\", \"https://registry.test\"]\n");
  expect_now(Level::kWarn, "upstream.one_url", {"down.test", "other URL"});
}

TEST_F(UpstreamTest, TheDaemonLeavesItAlone) {
  daemon.status_json["registries"] = json::array();
  daemon.status_json["registries"].push_back(
      {{"name", "registry.test"}, {"state", "open"}, {"last_error", "it hangs"}});
  expect_now(Level::kWarn, "upstream.left_alone", {"registry.test", "it hangs"});
}

TEST_F(UpstreamTest, ItsCertificateEnds) {
  system.web[kUrl].certificate_end = system.time + std::chrono::days(3);
  expect_now(Level::kWarn, "upstream.certificate", {"3 days"});
}

TEST_F(UpstreamTest, TokenService) {
  system.web[kUrl] = FakeSystem::reply(401);
  system.web[kUrl].headers["www-authenticate"] = R"(Bearer realm="https://auth.test/token",service="registry.test")";
  expect_now(Level::kFail, "upstream.token", {"auth.test", "refused"});
  system.web["https://auth.test/token?service=registry.test"] = FakeSystem::reply(401);
  gather();
  expect_good(check_upstreams);
  system.web["https://auth.test/token?service=registry.test"] = FakeSystem::reply(502);
  expect_now(Level::kFail, "upstream.token", {"502"});
}

TEST_F(UpstreamTest, WhatARegistrySaysIsNotPastedIntoAShell) {
  system.web[kUrl] = FakeSystem::reply(401);
  system.web[kUrl].headers["www-authenticate"] = "Bearer realm=\"https://auth.test/'; reboot; '\"";
  gather();
  for (const auto& finding : findings(check_upstreams)) EXPECT_FALSE(finding.fix.contains("reboot")) << finding.fix;
  expect(check_upstreams, Level::kFail, "upstream.token", {"auth.test", "ask who runs"});
}

TEST_F(UpstreamTest, Credentials) {
  config = configured(kWithPassword);
  system.web[kUrl] = FakeSystem::reply(401);
  system.as_node["registry.test"] = {std::nullopt, true, 200};
  expect_now(Level::kOk, "upstream.reached", {"takes the node's credentials"});
  system.as_node["registry.test"] = {std::nullopt, true, 401};
  expect_now(Level::kFail, "upstream.refused", {"/etc/oxbow/password", "401"});
  system.as_node["registry.test"] = {Error(Errc::kNotFound, "no such file"), false, 401};
  expect_now(Level::kFail, "upstream.credentials_source", {"/etc/oxbow/password", "no such file"});
  system.as_node["registry.test"] = {std::nullopt, false, 401};
  expect_now(Level::kWarn, "upstream.no_credentials", {"registry.test", "docker login"});
  system.as_node["registry.test"] = {std::nullopt, true, fail(Errc::kUnavailable, "the token service is down")};
  expect_now(Level::kFail, "upstream.credentials", {"token service"});
  system.uid = 1000;
  system.as_node["registry.test"] = {Error(Errc::kDenied, "permission denied"), false, 401};
  expect_now(Level::kSkipped, "upstream.credentials_hidden", {"sudo"});
}

TEST_F(UpstreamTest, BuiltInRegistriesAreOneLine) {
  config = config::defaults();
  const auto found = look();
  std::size_t warned = 0;
  for (const auto& finding : found) warned += finding.id == "upstream.built_in" ? 1 : 0;
  EXPECT_EQ(warned, 1U);
  expect(check_upstreams, Level::kFail, "upstream.unreached", {"docker.io"});  // the default one
}

class PeersTest : public DoctorTest {
 protected:
  PeersTest() {
    config = configured(
        "[peer]\nname = \"node-1\"\nlisten = \"10.0.0.1:5051\"\n[peer.tls]\ninsecure = true\n"
        "[membership]\npeers = [\"10.0.0.1:5051\", \"10.0.0.2:5051\", \"10.0.0.3:5051\"]\n");
    for (const auto* name : {"node-2", "node-3"}) answers(name, "swarm", 3, "1.2.3");
  }

  void answers(const std::string& name, const std::string& strategy, std::uint32_t replicas,
               const std::string& version) {
    p2p::Hello hello;
    hello.facts.name = name;
    hello.strategy = strategy;
    hello.replicas = replicas;
    hello.version = version;
    hello.advertise = "10.0.0." + name.substr(5) + ":5051";
    system.web["http://" + hello.advertise + "/p2p/v1/hello"] = FakeSystem::reply(200, to_json(hello));
  }

  void gather() {
    network = {};
    auto its = subject();
    gather_peers(its);
    network = its.network;
  }
  void expect_now(Level level, const std::string& id, const std::vector<std::string>& words) {
    gather();
    expect(check_peers, level, id, words);
  }
};

TEST_F(PeersTest, Good) {
  expect_now(Level::kOk, "peers.reached", {"2 of 2"});
  expect_good(check_peers);
}

TEST_F(PeersTest, None) {
  config = configured("");
  expect_now(Level::kOk, "peers.none", {});
}

TEST_F(PeersTest, Unreached) {
  system.web.erase("http://10.0.0.2:5051/p2p/v1/hello");
  expect_now(Level::kFail, "peers.unreached", {"1 of 2", "10.0.0.2:5051", "systemctl status oxbow"});
  config.membership.peers.push_back("10.0.0.4:5051");
  answers("node-4", "swarm", 3, "1.2.3");
  expect_now(Level::kWarn, "peers.unreached", {"1 of 3"});
}

TEST_F(PeersTest, RefusedAndStrangers) {
  system.web["http://10.0.0.2:5051/p2p/v1/hello"] =
      FakeSystem::reply(403, R"({"errors":[{"message":"the identity was revoked"}]})");
  expect_now(Level::kFail, "peers.unreached", {"revoked", "oxbow ca"});
  system.web["http://10.0.0.2:5051/p2p/v1/hello"] = FakeSystem::reply(200, "<html>");
  expect_now(Level::kFail, "peers.unreached", {"not Oxbow"});
}

TEST_F(PeersTest, Certificates) {
  system.web["http://10.0.0.2:5051/p2p/v1/hello"] = failed(Stage::kSecured, "OpenSSL SSL_read: tlsv1 alert unknown ca");
  expect_now(Level::kFail, "peers.unreached", {"unknown ca", "oxbow doctor --only certificates"});
}

TEST_F(PeersTest, OfAnotherMind) {
  answers("node-2", "fingers", 2, "1.2.3");
  answers("node-3", "swarm", 3, "1.2.2");
  gather();
  std::string all;
  for (const auto& finding : findings(check_peers)) all += finding.text + "\n";
  for (const auto* words : {"routing.strategy is fingers there, swarm here: node-2",
                            "routing.replicas is 2 there, 3 here: node-2", "version 1.2.2 there, 1.2.3 here: node-3"})
    EXPECT_TRUE(all.contains(words)) << all;
}

TEST_F(PeersTest, WhatTheDaemonHoldsOfThem) {
  daemon.peers_json = json{
      {"peers",
       json::array({{{"name", "node-1"}, {"self", true}, {"state", "eligible"}, {"addresses", {"10.0.0.1:5051"}}},
                    {{"name", "node-2"}, {"self", false}, {"state", "suspended"}, {"addresses", {"10.0.0.2:5051"}}},
                    {{"name", "node-9"}, {"self", false}, {"state", "eligible"}, {"addresses", {"10.0.0.3:5051"}}}})}};
  expect_now(Level::kWarn, "peers.suspended", {"node-2", "dmesg"});
  expect(check_peers, Level::kWarn, "peers.differ", {"node-3 answers at the address of node-9"});
}

TEST_F(PeersTest, TheClustersSettingsAndAnOldList) {
  daemon.peers_json = json{{"strategy", "ring"},
                           {"replicas", 3},
                           {"trouble", "etcd does not answer"},
                           {"unnamed", 2},
                           {"peers", json::array()}};
  expect_now(Level::kWarn, "peers.membership", {"etcd does not answer"});
  expect(check_peers, Level::kWarn, "peers.differ", {"routing.strategy is swarm there, ring here"});
  expect(check_peers, Level::kOk, "peers.reached", {"2 of 2"});  // known by address only
}

TEST_F(PeersTest, Alone) {
  config.membership.peers = {"10.0.0.1:5051"};
  expect_now(Level::kWarn, "peers.alone", {"[membership]"});
}

TEST_F(PeersTest, AListThatCannotBeRead) {
  config.membership.provider = config::MembershipProvider::kFile;
  config.membership.path = "/etc/oxbow/peers.json";
  expect_now(Level::kSkipped, "peers.unknown", {"/etc/oxbow/peers.json"});
}

}  // namespace
}  // namespace oxbow::mirror::doctor

// Certificates made by a real CA, in each way in which they go wrong.
#include <fmt/format.h>

#include "core/tls/certificate.h"
#include "fake_system.h"

namespace oxbow::mirror::doctor {
namespace {

using std::chrono::days;
using std::chrono::seconds;

class CertificatesTest : public DoctorTest {
 protected:
  CertificatesTest() {
    ca_ = make_ca("blue");
    config = configured(
        "[peer]\nname = \"node-1\"\nlisten = \"10.0.0.1:5051\"\n"
        "[peer.tls]\nca = \"/tls/ca.crt\"\ncertificate = \"/tls/node.crt\"\nkey = \"/tls/node.key\"\n");
    issue("node-1", days(-1), days(300));
  }

  struct Ca {
    tls::Key key;
    tls::Certificate certificate;
  };
  Ca make_ca(const std::string& name) const {
    auto key = tls::generate_key();
    auto certificate = tls::make_ca_certificate(**key, name, {system.time - days(10), system.time + days(3000)});
    return {std::move(*key), std::move(*certificate)};
  }

  void issue(const std::string& name, seconds from, seconds until) { issue(name, from, until, ca_); }
  void issue(const std::string& name, seconds from, seconds until, const Ca& by) {
    const auto key = tls::generate_key();
    const auto made = tls::make_node_certificate(**key, {name, {}, {}}, {system.time + from, system.time + until},
                                                 *by.certificate, *by.key);
    serial_ = tls::serial_of(**made);
    system.files["/tls/ca.crt"] = {*tls::to_pem(*ca_.certificate)};
    system.files["/tls/node.crt"] = {*tls::to_pem(**made)};
    system.files["/tls/node.key"] = {*tls::to_pem(**key), {FileFacts::Kind::kFile, 0600, 0, 0}};
  }

  void fails(const std::string& id, const std::vector<std::string>& words) {
    expect(check_certificates, Level::kFail, id, words);
  }

  Ca ca_;
  std::string serial_;
};

TEST_F(CertificatesTest, Good) { expect_good(check_certificates); }

TEST_F(CertificatesTest, Expired) {
  issue("node-1", days(-30), days(-2));
  fails("certificates.expired", {"2 days ago", "oxbow ca renew DIR node-1"});
}

TEST_F(CertificatesTest, NotYetValid) {
  issue("node-1", days(1), days(30));
  fails("certificates.early", {"timedatectl"});
}

TEST_F(CertificatesTest, Ending) {
  issue("node-1", days(-1), days(20));
  expect(check_certificates, Level::kWarn, "certificates.ending", {"expires in 20 days"});
  issue("node-1", days(-1), days(5));
  expect(check_certificates, Level::kWarn, "certificates.urgent", {"expires in 5 days"});
}

TEST_F(CertificatesTest, OfAnotherNode) {
  issue("node-2", days(-1), days(300));
  fails("certificates.name", {"\"node-1\"", "node-2", "peer.name = \"node-2\""});
}

TEST_F(CertificatesTest, OfAnotherCa) {
  issue("node-1", days(-1), days(300), make_ca("red"));
  fails("certificates.chain", {"/tls/ca.crt", "one and the same"});
}

TEST_F(CertificatesTest, KeyOfAnotherCertificate) {
  system.files["/tls/node.key"].text = *tls::to_pem(**tls::generate_key());
  fails("certificates.mismatch", {"/tls/node.key"});
}

TEST_F(CertificatesTest, KeyThatAllMayRead) {
  system.files["/tls/node.key"].facts.mode = 0644;
  expect(check_certificates, Level::kWarn, "certificates.open_key", {"0644", "chmod 640 /tls/node.key"});
}

TEST_F(CertificatesTest, KeyThatTheDaemonMayNotRead) {
  daemon.pid = 42;
  system.files["/proc/42/status"] = {"Name:\toxbow\nUid:\t998\t998\nGid:\t998\t998\n"};
  system.files["/etc/passwd"] = {"oxbow:x:998:998::/:/bin/false\n"};
  fails("certificates.unreadable", {"oxbow", "chown root:oxbow /tls/node.key"});
}

TEST_F(CertificatesTest, MissingAndBroken) {
  system.files.erase("/tls/node.crt");
  fails("certificates.missing", {"/tls/node.crt"});
  issue("node-1", days(-1), days(300));
  system.files["/tls/node.crt"].text = "no PEM";
  fails("certificates.invalid", {"/tls/node.crt"});
}

TEST_F(CertificatesTest, HiddenFromThisUser) {
  system.uid = 1000;
  system.files["/tls/node.key"].denied = true;
  expect(check_certificates, Level::kSkipped, "certificates.hidden", {"sudo"});
}

TEST_F(CertificatesTest, Revoked) {
  config.peer.revoked_file = "/tls/revoked.json";
  expect(check_certificates, Level::kWarn, "certificates.revoked_file", {"/tls/revoked.json"});
  system.files["/tls/revoked.json"] = {"[]"};
  expect_good(check_certificates);
  system.files["/tls/revoked.json"] = {fmt::format("[\"serial:{}\"]", serial_)};
  fails("certificates.revoked", {"oxbow ca readmit"});
}

TEST_F(CertificatesTest, NoneAndInsecure) {
  config = configured("[peer]\nlisten = \"10.0.0.1:5051\"\n[peer.tls]\ninsecure = true\n");
  expect(check_certificates, Level::kWarn, "certificates.insecure", {"oxbow ca create"});
  config = configured("");
  expect(check_certificates, Level::kOk, "certificates.none", {});
}

TEST_F(CertificatesTest, TheServersOwn) {
  issue("mirror", days(-30), days(-1));
  config = configured("");
  config.client.tls = {"", "/tls/node.crt", "/tls/node.key", false};
  fails("certificates.expired", {"client.tls"});
}

}  // namespace
}  // namespace oxbow::mirror::doctor

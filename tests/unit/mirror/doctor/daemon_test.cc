// Configuration, daemon and ports: each broken, and named with its fix.
#include <fmt/format.h>

#include "fake_system.h"

namespace oxbow::mirror::doctor {
namespace {

using nlohmann::json;

class DaemonTest : public DoctorTest {
 protected:
  std::vector<Finding> look_at_config(const std::string& toml) {
    const auto loaded = config::load_text(toml, "oxbow.toml");
    Findings out;
    if (loaded) {
      const auto its = subject();
      check_config(loaded, "/etc/oxbow/oxbow.toml", system, &its, out);
    } else {
      check_config(loaded, "/etc/oxbow/oxbow.toml", system, nullptr, out);
    }
    return out.all();
  }

  /// A listener of 127.0.0.1:`port`, with a process that holds it if `pid` is not 0.
  void listens(unsigned port, int pid, const std::string& name) {
    if (tcp_.empty())
      tcp_ = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const auto inode = 7000 + port;
    tcp_ += fmt::format(
        "   0: 0100007F:{:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 {} 1 0 100 0 0 "
        "10 0\n",
        port, inode);
    system.files["/proc/net/tcp"] = {tcp_};
    if (pid == 0) return;
    system.files[fmt::format("/proc/{}/comm", pid)] = {name + "\n"};
    system.links[fmt::format("/proc/{}/fd/{}", pid, port)] = fmt::format("socket:[{}]", inode);
  }

  void runs() {
    listens(5050, 42, "oxbow");
    listens(5052, 42, "oxbow");
    system.bind_errors["[::1]:5050"] = EADDRNOTAVAIL;
    system.web["http://127.0.0.1:5050/v2/"] = FakeSystem::reply(200);
    system.web["http://127.0.0.1:5052/readyz"] = FakeSystem::reply(200);
    system.web["http://127.0.0.1:5052/api/v1/status"] = FakeSystem::reply(200, R"({"version":"1.2.3"})");
  }
  void takes_changes() { system.web["http://localhost/healthz"] = FakeSystem::reply(200); }

  void gather() {
    auto its = subject();
    gather_daemon(its);
    daemon = its.daemon;
  }

  std::string tcp_;
};

TEST_F(DaemonTest, AGoodConfiguration) {
  const auto found = look_at_config("");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].level, Level::kOk);
}

TEST_F(DaemonTest, EveryErrorOfTheConfigurationWithItsLine) {
  const auto found = look_at_config("[client]\nlissen = []\n[storage]\nbudget = \"a lot\"\n");
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(found[0].text.contains("listen")) << found[0].text;  // did you mean
  EXPECT_TRUE(found[0].fix.contains("line 2")) << found[0].fix;
  EXPECT_EQ(found[1].level, Level::kFail);
  EXPECT_EQ(found[2].level, Level::kSkipped);
}

TEST_F(DaemonTest, AConfigurationThatThisUserMayNotRead) {
  system.uid = 1000;
  system.files["/etc/oxbow/oxbow.toml"] = {"", {}, true};
  const config::LoadResult loaded =
      std::unexpected(std::vector{config::Diagnostic{"/etc/oxbow/oxbow.toml", 0, 0, "cannot be read"}});
  Findings out;
  check_config(loaded, "/etc/oxbow/oxbow.toml", system, nullptr, out);
  EXPECT_EQ(out.all().front().id, "config.unreadable");
  EXPECT_TRUE(out.all().front().fix.contains("sudo oxbow doctor"));
}

TEST_F(DaemonTest, TheRunningDaemonHasOtherSettings) {
  daemon.status_json = json{
      {"node", "another"}, {"storage", {{"budget_bytes", 5}}}, {"registries", json::array({{{"name", "x.test"}}})}};
  const auto found = look_at_config("[peer]\nname = \"node-1\"\n[storage]\nbudget = \"1GiB\"\n");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[1].id, "config.differs");
  EXPECT_TRUE(found[1].fix.contains("reload"));
  EXPECT_TRUE(found[1].text.contains("x.test")) << found[1].text;
}

TEST_F(DaemonTest, AllIsWell) {
  runs();
  takes_changes();
  gather();
  EXPECT_EQ(daemon.pid, 42);
  expect_good(check_daemon);
  expect_good(check_ports);
}

TEST_F(DaemonTest, Stopped) {
  gather();
  expect(check_daemon, Level::kFail, "daemon.stopped", {"127.0.0.1:5050", "refused", "systemctl start oxbow"});
  expect(check_ports, Level::kOk, "ports.client", {"free"});
}

TEST_F(DaemonTest, NotReadyAndAnotherVersion) {
  runs();
  system.web["http://127.0.0.1:5052/readyz"] = FakeSystem::reply(503);
  system.web["http://127.0.0.1:5052/api/v1/status"] = FakeSystem::reply(200, R"({"version":"1.2.2"})");
  gather();
  expect(check_daemon, Level::kFail, "daemon.ready", {"journalctl"});
  expect(check_daemon, Level::kWarn, "daemon.version", {"1.2.2", "1.2.3", "systemctl restart"});
}

TEST_F(DaemonTest, AnAnswerThatIsNoneOfOurs) {
  runs();
  system.web["http://127.0.0.1:5052/api/v1/status"] =
      FakeSystem::reply(200, R"({"version":5,"storage":"x","registries":[1,{"name":null}],"process":[]})");
  system.web["http://127.0.0.1:5052/api/v1/peers"] = FakeSystem::reply(200, R"({"peers":[7,{"addresses":[1]}]})");
  gather();
  for (const auto check : {check_daemon, check_disk, check_io_uring, check_limits, check_peers}) findings(check);
  look_at_config("");
}

TEST_F(DaemonTest, TheSocketForChanges) {
  runs();
  gather();
  expect(check_daemon, Level::kWarn, "daemon.socket", {"/run/oxbow/admin.sock", "is not there", "RuntimeDirectory"});
  system.files["/run/oxbow/admin.sock"] = {};
  expect(check_daemon, Level::kWarn, "daemon.socket", {"does not answer"});
  system.uid = 1000;
  expect(check_daemon, Level::kSkipped, "daemon.socket", {"sudo"});
  takes_changes();
  gather();
  expect(check_daemon, Level::kOk, "daemon.socket", {});
}

TEST_F(DaemonTest, APortOfAnotherProgram) {
  listens(5050, 77, "python3");
  gather();
  expect(check_ports, Level::kFail, "ports.taken", {"client.listen", "python3", "77"});
  EXPECT_FALSE(daemon.pid);
}

TEST_F(DaemonTest, AnsweredBySomethingElse) {
  runs();
  system.web["http://127.0.0.1:5050/v2/"].headers["server"] = "nginx";
  gather();
  expect(check_daemon, Level::kFail, "daemon.stranger", {"not Oxbow"});
}

TEST_F(DaemonTest, APortWhoseHolderIsHidden) {
  listens(5050, 0, "");
  system.uid = 1000;
  gather();
  expect(check_ports, Level::kFail, "ports.taken", {"may not see", "sudo ss"});
  system.web["http://127.0.0.1:5050/v2/"] = FakeSystem::reply(200);
  gather();
  expect(check_ports, Level::kOk, "ports.client", {"oxbow"});
}

TEST_F(DaemonTest, ItsUserIsKnownByItsSocket) {
  listens(5050, 0, "");
  system.uid = 1000;
  system.files["/etc/passwd"] = {"oxbow:x:998:998::/:/bin/false\nme:x:1000:1000::/home/me:/bin/sh\n"};
  system.web["http://127.0.0.1:5050/v2/"] = FakeSystem::reply(200);
  system.directory("/var/lib/oxbow", 0750, 998);
  gather();
  expect_good(check_disk);
  system.directory("/var/lib/oxbow", 0750, 1000);
  expect(check_disk, Level::kFail, "disk.permission", {"chown -R oxbow"});
}

TEST_F(DaemonTest, SystemdHoldsTheSocket) {
  listens(5050, 1, "systemd");
  gather();
  expect(check_ports, Level::kOk, "ports.client", {"systemd"});
}

TEST_F(DaemonTest, AnAddressThatIsNotHere) {
  config = configured("[peer]\nlisten = \"10.9.9.9:5051\"\n[peer.tls]\ninsecure = true\n");
  system.bind_errors["10.9.9.9:5051"] = EADDRNOTAVAIL;
  gather();
  expect(check_ports, Level::kFail, "ports.address", {"10.9.9.9:5051", "ip -brief address"});
}

TEST_F(DaemonTest, NoIpv6IsNoTrouble) {
  system.bind_errors["[::1]:5050"] = EADDRNOTAVAIL;
  gather();
  expect_good(check_ports);
}

}  // namespace
}  // namespace oxbow::mirror::doctor

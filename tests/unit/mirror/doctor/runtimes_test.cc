// Container runtimes in a file system of their own: pointed at this mirror, past it, or at another one.
#include "../install/node.h"
#include "fake_system.h"

namespace oxbow::mirror::doctor {
namespace {

class RuntimesTest : public DoctorTest {
 protected:
  RuntimesTest() {
    config = configured("[[registry]]\nname = \"registry.test\"\n[[registry]]\nname = \"other.test\"\n");
    node.write("/etc/containerd/config.toml", kConfig);
  }

  Subject here() {
    auto out = subject();
    out.options.root = node.root();
    return out;
  }

  void install(const std::string& mirror = "http://127.0.0.1:5050") {
    node.install("containerd", [&](const install::View& view) {
      return install::plan_containerd(view, install::target_of({"registry.test", "other.test"}, mirror), {});
    });
  }

  void expect_here(Level level, const std::string& id, const std::vector<std::string>& words) {
    Findings out;
    check_runtimes(here(), out);
    std::string all;
    for (const auto& finding : out.all()) {
      const auto said = finding.text + "\n" + finding.meaning + "\n" + finding.fix;
      all += finding.id + ": " + said + "\n";
      if (finding.id != id) continue;
      EXPECT_EQ(to_string(finding.level), to_string(level)) << said;
      for (const auto& word : words) EXPECT_TRUE(said.contains(word)) << word << " is not in: " << said;
      return;
    }
    ADD_FAILURE() << "no " << id << " in:\n" << all;
  }

  static constexpr const char* kConfig =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"\n";
  install::Node node;
};

TEST_F(RuntimesTest, NoneIsHere) {
  std::filesystem::remove_all(node.root() / "etc");
  expect_here(Level::kSkipped, "runtime.none", {});
}

TEST_F(RuntimesTest, Pointed) {
  install();
  expect_here(Level::kOk, "runtime.pointed", {"containerd", "http://127.0.0.1:5050"});
  Findings out;
  check_runtimes(here(), out);
  EXPECT_EQ(out.all().size(), 1U);
}

TEST_F(RuntimesTest, PointedByTheOtherLoopbackAddress) {
  install("http://[::1]:5050");
  expect_here(Level::kOk, "runtime.pointed", {"http://[::1]:5050"});
}

TEST_F(RuntimesTest, NotPointed) { expect_here(Level::kFail, "runtime.not_pointed", {"oxbow install containerd"}); }

TEST_F(RuntimesTest, PointedAtAnotherPort) {
  install("http://127.0.0.1:5999");
  expect_here(Level::kFail, "runtime.elsewhere",
              {"hosts.toml", "http://127.0.0.1:5999", "http://127.0.0.1:5050", "oxbow install"});
}

TEST_F(RuntimesTest, NoConfigPath) {
  install();
  node.write("/etc/containerd/config.toml", "version = 2\n");
  expect_here(Level::kFail, "runtime.config_path",
              {"config_path", "oxbow install containerd --set-config-path", "systemctl restart containerd"});
}

TEST_F(RuntimesTest, AColonList) {
  install();
  node.write("/etc/containerd/config.toml",
             "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = "
             "\"/etc/containerd/certs.d:/etc/docker/certs.d\"\n");
  expect_here(Level::kWarn, "runtime.warning", {"list", "config_path"});
}

TEST_F(RuntimesTest, ARegistryThatIsNotInIt) {
  install();
  std::filesystem::remove_all(node.root() / "etc/containerd/certs.d/other.test");
  expect_here(Level::kWarn, "runtime.missing", {"other.test"});
}

TEST_F(RuntimesTest, AnotherHostBeforeTheMirror) {
  install();
  const auto file = "/etc/containerd/certs.d/other.test/hosts.toml";
  node.write(file, "[host.\"https://first.test\"]\n" + node.read(file));
  expect_here(Level::kWarn, "runtime.warning", {"not the first host"});
}

TEST_F(RuntimesTest, LayersThatAreDropped) {
  install();
  node.write(
      "/etc/containerd/config.toml",
      std::string(kConfig) + "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndiscard_unpacked_layers = true\n");
  expect_here(Level::kOk, "runtime.discard", {"discard_unpacked_layers"});
}

TEST_F(RuntimesTest, AnotherRuntimeIsOnlyMentioned) {
  install();
  node.write("/usr/bin/podman", "");
  expect_here(Level::kSkipped, "runtime.other", {"podman", "oxbow install podman"});
}

TEST_F(RuntimesTest, Podman) {
  std::filesystem::remove_all(node.root() / "etc");
  node.write("/usr/bin/podman", "");
  expect_here(Level::kFail, "runtime.not_pointed", {"podman"});
  node.install("podman", [&](const install::View& view) {
    return install::plan_containers(view, install::target_of({"registry.test", "other.test"}), "podman");
  });
  expect_here(Level::kOk, "runtime.pointed", {"podman"});
}

TEST_F(RuntimesTest, TlsNeedsAName) {
  config.client.tls = {"", "/tls/a.crt", "/tls/a.key", false};
  expect_here(Level::kSkipped, "runtime.unknown", {"--mirror"});
}

}  // namespace
}  // namespace oxbow::mirror::doctor

// containerd's own configuration, and the plan that follows from it and from what is in the folder of hosts.toml.
#include "node.h"

namespace oxbow::mirror::install {
namespace {

constexpr const char* kConfig = "/etc/containerd/config.toml";
constexpr const char* kHosts = "/etc/containerd/certs.d";
constexpr const char* kCri = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n";

class ContainerdPlan : public testing::Test {
 protected:
  Plan plan(ContainerdOptions options = {}) { return plan_containerd(View(node_.files(), nothing_), target_, options); }
  static ContainerdOptions setting() {
    ContainerdOptions out;
    out.set_config_path = true;
    return out;
  }
  void config(const std::string& text) { node_.write(kConfig, text); }
  void good() { config(std::string(kCri) + "config_path = \"/etc/containerd/certs.d\"\n"); }

  Node node_;
  Manifest nothing_;
  Target target_ = target_of({"docker.io"});
};

TEST_F(ContainerdPlan, OneFolderIsTaken) {
  config(std::string(kCri) + "config_path = \"/x\"\n");
  const auto made = plan();
  EXPECT_TRUE(made.errors.empty() && made.warnings.empty());
  ASSERT_EQ(made.changes.size(), 1U);
  EXPECT_EQ(made.changes[0].path, "/x/docker.io/hosts.toml");
}

TEST_F(ContainerdPlan, NoFolderIsAnErrorThatSaysWhatToAdd) {
  for (const auto* text :
       {"version = 2\n", "version = 3\n", "[plugins.cri]\n", "version = 2\nimports = [\"none.toml\"]\n"}) {
    config(text);
    const auto made = plan();
    EXPECT_TRUE(made.changes.empty());
    EXPECT_TRUE(says(made.errors, "config_path = \"/etc/containerd/certs.d\"")) << text;
  }
  EXPECT_TRUE(says(plan().errors, "io.containerd.grpc.v1.cri"));
  config("version = 3\n");
  EXPECT_TRUE(says(plan().errors, "[plugins.\"io.containerd.cri.v1.images\".registry]"));
}

TEST_F(ContainerdPlan, AFolderThatWasAskedForIsTakenWithAWarning) {
  ContainerdOptions options;
  options.hosts = "/y";
  config("version = 2\n");
  EXPECT_TRUE(says(plan(options).warnings, "sets no config_path"));
  good();
  const auto made = plan(options);
  EXPECT_TRUE(says(made.warnings, "containerd reads /etc/containerd/certs.d"));
  EXPECT_EQ(made.changes.at(0).path, "/y/docker.io/hosts.toml");
}

TEST_F(ContainerdPlan, AListIsAWarningAndItsFirstFolderIsTaken) {
  config(std::string(kCri) + "config_path = \"/a:/b\"\n");
  const auto made = plan();
  EXPECT_TRUE(says(made.warnings, "is a list, \"/a:/b\""));
  EXPECT_EQ(made.changes.at(0).path, "/a/docker.io/hosts.toml");
}

TEST_F(ContainerdPlan, AListIsMadeOneFolderUnlessTheOthersHoldSomething) {
  config(std::string(kCri) + "config_path = \"/a:/b\"\n");
  EXPECT_TRUE(plan(setting()).changes.at(0).edited.text.contains("config_path = \"/a\""));
  node_.write("/b/site.test/hosts.toml", "");
  EXPECT_TRUE(says(plan(setting()).errors, "/b has entries"));
}

TEST_F(ContainerdPlan, TheOldMirrorsForbidConfigPath) {
  config(
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = "
      "[\"https://a.test\"]\n");
  EXPECT_TRUE(says(plan().errors, "refuses config_path"));
  EXPECT_TRUE(says(plan(setting()).errors, "refuses config_path"));
  config("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"a.test\".tls]\nca_file = \"/x\"\n");
  EXPECT_TRUE(says(plan(setting()).errors, "refuses config_path"));
}

TEST_F(ContainerdPlan, TheLastImportWithTheSectionDecides) {
  config("version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n");
  node_.write("/etc/containerd/conf.d/a.toml", std::string(kCri) + "config_path = \"/a\"\n");
  node_.write("/etc/containerd/conf.d/b.toml", std::string(kCri) + "config_path = \"/b\"\n");
  EXPECT_EQ(plan().changes.at(0).path, "/b/docker.io/hosts.toml");
  node_.write("/etc/containerd/conf.d/b.toml", kCri);
  EXPECT_TRUE(says(plan().errors, "conf.d/b.toml sets no config_path"));
  EXPECT_EQ(plan(setting()).changes.at(0).path, "/etc/containerd/conf.d/b.toml");
}

TEST_F(ContainerdPlan, WithoutCriNothingIsDemanded) {
  config("disabled_plugins = [\"cri\"]\n");
  const auto made = plan();
  EXPECT_TRUE(made.errors.empty());
  EXPECT_TRUE(says(made.notes, "nerdctl"));
}

TEST_F(ContainerdPlan, DiscardedLayersAreExplained) {
  config(
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndiscard_unpacked_layers = true\n"
      "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/x\"\n");
  EXPECT_TRUE(says(plan().notes, "discard_unpacked_layers"));
}

TEST_F(ContainerdPlan, AConfigurationThatCannotBeReadStopsIt) {
  config("version = \n");
  EXPECT_TRUE(says(plan().errors, "config.toml: line 1"));
}

TEST_F(ContainerdPlan, ADirectoryWithAnEscapedPortIsTheOneThatContainerdTakes) {
  good();
  target_ = target_of({"a.test:5000"});
  EXPECT_EQ(plan().changes.at(0).path, "/etc/containerd/certs.d/a.test:5000/hosts.toml");
  node_.write("/etc/containerd/certs.d/a.test_5000_/x", "");
  EXPECT_EQ(plan().changes.at(0).path, "/etc/containerd/certs.d/a.test_5000_/hosts.toml");
}

TEST_F(ContainerdPlan, WhatTheDefaultSaysIsTakenOverByTheFileThatHidesIt) {
  good();
  node_.write(std::string(kHosts) + "/_default/hosts.toml", "[host.\"https://all.test\"]\n");
  const auto text = plan().changes.at(0).edited.text;
  EXPECT_LT(text.find("127.0.0.1:5050"), text.find("all.test"));
  node_.write(std::string(kHosts) + "/_default/hosts.toml", "[host.\"https://all.test\"]\nca = \"x.crt\"\n");
  EXPECT_TRUE(says(plan().errors, "write absolute paths"));
}

TEST_F(ContainerdPlan, DirectoriesThatHideOurDefaultAreNamed) {
  good();
  target_.any_registry = true;
  node_.write(std::string(kHosts) + "/site.test/ca.crt", "");
  const auto made = plan();
  EXPECT_EQ(made.changes.back().path, "/etc/containerd/certs.d/_default/hosts.toml");
  EXPECT_TRUE(says(made.warnings, "site.test hides _default"));
}

}  // namespace
}  // namespace oxbow::mirror::install

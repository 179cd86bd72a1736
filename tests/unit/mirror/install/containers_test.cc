#include "mirror/install/toml_text.h"
#include "node.h"

namespace oxbow::mirror::install {
namespace {

constexpr const char* kMain = "/etc/containers/registries.conf";

class ContainersPlan : public testing::Test {
 protected:
  Plan plan() { return plan_containers(View(node_.files(), nothing_), target_, "podman"); }
  Node node_;
  Manifest nothing_;
  Target target_ = target_of({"docker.io", "quay.io"});
};

TEST_F(ContainersPlan, RegistriesThatNobodyConfiguresGoIntoADropIn) {
  node_.write(kMain, "unqualified-search-registries = [\"docker.io\"]\n");
  const auto made = plan();
  ASSERT_EQ(made.changes.size(), 1U);
  EXPECT_EQ(made.changes[0].path, "/etc/containers/registries.conf.d/50-oxbow.conf");
  const auto file = parse_toml(made.changes[0].edited.text);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)["registry"][1]["mirror"][0]["location"].value<std::string>(), "127.0.0.1:5050/quay.io");
  EXPECT_EQ((*file)["registry"][1]["mirror"][0]["insecure"].value<bool>(), true);
}

TEST_F(ContainersPlan, ARegistryThatIsConfiguredKeepsItsMirrorsBelowOurs) {
  node_.write(kMain,
              "[[registry]]\nprefix = \"docker.io\"\nlocation = \"site.test/hub\"\n# the site's\n[[registry.mirror]]\n"
              "location = \"m.test\"\n[[registry]]\nlocation = \"quay.io\"");
  const auto made = plan();
  ASSERT_EQ(made.changes.size(), 1U);
  EXPECT_EQ(undo(made.changes[0].edited.text, made.changes[0].edited.hunks), made.changes[0].original);
  const auto file = parse_toml(made.changes[0].edited.text);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)["registry"][0]["mirror"][0]["location"].value<std::string>(), "127.0.0.1:5050/docker.io");
  EXPECT_EQ((*file)["registry"][0]["mirror"][1]["location"].value<std::string>(), "m.test");
  EXPECT_EQ((*file)["registry"][1]["mirror"][0]["location"].value<std::string>(), "127.0.0.1:5050/quay.io");
}

TEST_F(ContainersPlan, TheLastDropInWithARegistryIsTheOneThatCounts) {
  node_.write(kMain, "[[registry]]\nlocation = \"docker.io\"\n");
  node_.write("/etc/containers/registries.conf.d/z.conf", "[[registry]]\nlocation = \"docker.io\"\n");
  EXPECT_EQ(plan().changes.at(0).path, "/etc/containers/registries.conf.d/z.conf");
}

TEST_F(ContainersPlan, TheOldFormStopsIt) {
  node_.write(kMain, "[registries.search]\nregistries = [\"docker.io\"]\n");
  EXPECT_TRUE(says(plan().errors, "old form"));
  node_.write(kMain, "x = \n");
  EXPECT_TRUE(says(plan().errors, "repair it first"));
}

TEST_F(ContainersPlan, BlockedWildcardAndPortAreLeftOut) {
  target_ = target_of({"docker.io", "a.site.test", "b.test:5000", "c.test:5000"});
  target_.registries[3].aliases = {"c"};
  node_.write(kMain,
              "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n[[registry]]\nprefix = "
              "\"*.site.test\"\nlocation = \"x.test\"\n");
  const auto made = plan();
  EXPECT_TRUE(says(made.warnings, "docker.io is left out"));
  EXPECT_TRUE(says(made.warnings, "would hide *.site.test"));
  EXPECT_TRUE(says(made.warnings, "b.test:5000 is left out"));
  ASSERT_EQ(made.changes.size(), 1U);
  EXPECT_TRUE(made.changes[0].edited.text.contains("127.0.0.1:5050/c\""));
}

TEST_F(ContainersPlan, AnInlineMirrorIsLeftWithTheTextToPutIn) {
  node_.write(kMain, "[[registry]]\nlocation = \"docker.io\"\nmirror = [{location = \"m.test\"}]\n");
  EXPECT_TRUE(says(plan().errors, "location = \"127.0.0.1:5050/docker.io\""));
}

}  // namespace
}  // namespace oxbow::mirror::install

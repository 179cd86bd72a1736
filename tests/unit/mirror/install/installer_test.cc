// What install writes, and that uninstall takes it back whatever happened between.
#include <sys/stat.h>

#include "node.h"

namespace oxbow::mirror::install {
namespace {

namespace fs = std::filesystem;
using What = FileOutcome::What;

class InstallerTest : public testing::Test {
 protected:
  InstallerTest() { node_.write("/etc/site/a.conf", "one\n"); }

  /// Adds a line to a.conf, and a new file.
  static Plan two_files(const View& view, const std::string& line = "ours\n") {
    Plan plan;
    const auto text = view.read("/etc/site/a.conf");
    EXPECT_TRUE(text && *text);
    Edited edited{**text, {}};
    edited.replace(0, 0, line);
    plan.changes.push_back({"/etc/site/a.conf", **text, std::move(edited)});
    plan.create("/etc/site/d/e/new.conf", "new\n");
    return plan;
  }
  static Plan planner(const View& view) { return two_files(view); }

  Node node_;
};

TEST_F(InstallerTest, WritesTwiceTheSameAndTakesItBack) {
  const auto before = node_.tree();
  EXPECT_TRUE(node_.install("containerd", planner).changed);
  EXPECT_EQ(node_.read("/etc/site/a.conf"), "ours\none\n");
  EXPECT_EQ(node_.read("/etc/site/d/e/new.conf"), "new\n");
  const auto after = node_.tree();
  EXPECT_FALSE(node_.install("containerd", planner).changed);
  EXPECT_EQ(node_.tree(), after);
  EXPECT_TRUE(node_.uninstall("containerd").errors.empty());
  EXPECT_EQ(node_.tree(), before);
  EXPECT_FALSE(node_.uninstall("containerd").changed);
}

TEST_F(InstallerTest, ADryRunAndAFailedCheckWriteNothing) {
  const auto before = node_.tree();
  EXPECT_TRUE(node_.install("containerd", planner, true).changed);
  EXPECT_EQ(node_.tree(), before);
  const auto report = node_.install("containerd", [](const View& view) {
    auto plan = two_files(view);
    plan.error("no");
    return plan;
  });
  EXPECT_EQ(report.errors.size(), 1U);
  EXPECT_EQ(node_.tree(), before);
}

TEST_F(InstallerTest, KeepsTheModeOfAFile) {
  fs::permissions(node_.root() / "etc/site/a.conf", fs::perms(0600));
  node_.install("containerd", planner);
  EXPECT_EQ(fs::status(node_.root() / "etc/site/a.conf").permissions(), fs::perms(0600));
  node_.uninstall("containerd");
  EXPECT_EQ(fs::status(node_.root() / "etc/site/a.conf").permissions(), fs::perms(0600));
}

TEST_F(InstallerTest, WhatOthersChangedSinceStays) {
  node_.install("containerd", planner);
  node_.write("/etc/site/a.conf", "ours\none\ntwo\n");
  node_.write("/etc/site/d/e/new.conf", "new\nmore\n");
  EXPECT_TRUE(node_.uninstall("containerd").errors.empty());
  EXPECT_EQ(node_.read("/etc/site/a.conf"), "one\ntwo\n");
  EXPECT_EQ(node_.read("/etc/site/d/e/new.conf"), "more\n");
}

TEST_F(InstallerTest, OurOwnPartChangedIsLeftUnlessForced) {
  const auto before = node_.tree();
  node_.install("containerd", planner);
  node_.write("/etc/site/a.conf", "theirs\none\n");
  const auto report = node_.uninstall("containerd");
  EXPECT_TRUE(says(report.errors, "--force"));
  EXPECT_EQ(node_.read("/etc/site/a.conf"), "theirs\none\n");
  EXPECT_FALSE(node_.exists("/etc/site/d"));
  EXPECT_TRUE(node_.uninstall("containerd", true).errors.empty());
  EXPECT_EQ(node_.tree(), before);
}

TEST_F(InstallerTest, AnotherPlanReplacesTheOneBefore) {
  const auto before = node_.tree();
  node_.install("containerd", planner);
  const auto report = node_.install("containerd", [](const View& view) {
    auto plan = two_files(view, "other\n");
    plan.changes.pop_back();
    return plan;
  });
  EXPECT_EQ(report.files.at(1).what, What::kRemoved);
  EXPECT_EQ(node_.read("/etc/site/a.conf"), "other\none\n");
  EXPECT_FALSE(node_.exists("/etc/site/d"));
  node_.uninstall("containerd");
  EXPECT_EQ(node_.tree(), before);
}

// A crash after the record was written and before the files were, or between two of them.
TEST_F(InstallerTest, GoesOnAfterACrashAnywhere) {
  const auto before = node_.tree();
  node_.install("containerd", planner);
  const auto after = node_.tree();
  for (const bool install_again : {true, false}) {
    node_.install("containerd", planner);
    node_.write("/etc/site/a.conf", "one\n");
    fs::remove_all(node_.root() / "etc/site/d");
    if (install_again) {
      EXPECT_TRUE(node_.install("containerd", planner).changed);
      EXPECT_EQ(node_.tree(), after);
    } else {
      EXPECT_TRUE(node_.uninstall("containerd").errors.empty());
      EXPECT_EQ(node_.tree(), before);
    }
  }
}

TEST_F(InstallerTest, TwoRuntimesThatShareFilesLeaveThemToTheLast) {
  const auto before = node_.tree();
  node_.install("podman", planner);
  node_.install("cri-o", planner);
  EXPECT_EQ(Installer::installed(node_.files(), Node::kState), (std::vector<std::string>{"podman", "cri-o"}));
  node_.uninstall("podman");
  EXPECT_EQ(node_.read("/etc/site/a.conf"), "ours\none\n");
  node_.uninstall("cri-o");
  EXPECT_EQ(node_.tree(), before);
}

TEST_F(InstallerTest, ASymbolicLinkIsNotReplaced) {
  fs::rename(node_.root() / "etc/site/a.conf", node_.root() / "etc/site/real.conf");
  fs::create_symlink("real.conf", node_.root() / "etc/site/a.conf");
  EXPECT_TRUE(says(node_.install("containerd", planner).errors, "symbolic link"));
  EXPECT_EQ(node_.read("/etc/site/real.conf"), "one\n");
}

TEST_F(InstallerTest, NothingOutsideTheRootIsTouched) {
  const Node other;
  other.write("/etc/site/a.conf", "one\n");
  fs::remove_all(node_.root() / "etc/site");
  fs::create_directory_symlink(other.root() / "etc/site", node_.root() / "etc/site");
  EXPECT_TRUE(says(node_.install("containerd", planner).errors, "leads outside"));
  EXPECT_EQ(other.read("/etc/site/a.conf"), "one\n");
}

TEST_F(InstallerTest, AWriteThatFailsIsTakenBack) {
  const auto before = node_.tree();
  const auto report = Installer(node_.files(), Node::kState, "containerd")
                          .install(
                              [](const View& view) {
                                auto plan = two_files(view);
                                plan.create("/etc/site/d/e/" + std::string(250, 'x'),
                                            "the name of a temporary file beside it would be too long\n");
                                return plan;
                              },
                              false);
  ASSERT_FALSE(report);
  EXPECT_TRUE(report.error().what().contains("everything was restored"));
  EXPECT_EQ(node_.tree(), before);
}

TEST_F(InstallerTest, ARecordThatCannotBeReadStopsBoth) {
  node_.write("/etc/oxbow/install/containerd.json", "{}");
  const Installer installer(node_.files(), Node::kState, "containerd");
  EXPECT_EQ(installer.install(planner, false).error().code(), Errc::kCorrupt);
  EXPECT_EQ(installer.uninstall(false, false).error().code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace oxbow::mirror::install

// `oxbow prepare`: who owns what afterwards, and what it refuses.
#include "mirror/prepare_command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "command_run.h"

namespace oxbow::mirror {
namespace {

namespace fs = std::filesystem;

class PrepareCommandTest : public testing::Test {
 protected:
  PrepareCommandTest() {
    std::string pattern = (fs::temp_directory_path() / "oxbow-prepare-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~PrepareCommandTest() override { fs::remove_all(root_); }

  static Outcome run(std::vector<std::string> arguments) {
    CLI::App app;
    app.require_subcommand(1);
    const PrepareCommand command(app);
    return run_command(app, "prepare", std::move(arguments),
                       [&](std::FILE* said, std::FILE* complained) { return command.run(said, complained); });
  }

  static std::string owner_of(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return std::to_string(info.st_uid) + ":" + std::to_string(info.st_gid);
  }

  fs::path root_;
};

TEST_F(PrepareCommandTest, GivesADirectoryAndAllBelowItButNothingBehindLinks) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  const auto cache = root_ / "a" / "oxbow";
  const auto outside = root_ / "outside";
  fs::create_directories(outside);
  std::ofstream(outside / "file") << "x";
  ASSERT_EQ(run({cache, "--owner", "65532:65533"}).code, 0);
  EXPECT_EQ(owner_of(cache), "65532:65533");
  EXPECT_EQ(owner_of(root_ / "a"), "0:0");
  EXPECT_EQ(fs::status(cache).permissions(), fs::perms(0750));

  // What a daemon under another user has left; a mode that the owner has chosen stays.
  fs::create_directories(cache / "blobs" / "00");
  std::ofstream(cache / "blobs" / "00" / "one") << "x";
  fs::create_directory_symlink(outside, cache / "blobs" / "link");
  fs::permissions(cache, fs::perms(0700));
  const auto again = run({cache, root_ / "oxbow-run", "--owner", "65532:65533"});
  ASSERT_EQ(again.code, 0) << again.errors;
  for (const auto* path :
       {"a/oxbow/blobs", "a/oxbow/blobs/00", "a/oxbow/blobs/00/one", "a/oxbow/blobs/link", "oxbow-run"})
    EXPECT_EQ(owner_of(root_ / path), "65532:65533") << path;
  EXPECT_EQ(owner_of(outside), "0:0");
  EXPECT_EQ(owner_of(outside / "file"), "0:0");
  EXPECT_EQ(fs::status(cache).permissions(), fs::perms(0700));
}

// Never with a directory of the machine: what is not refused is done.
TEST_F(PrepareCommandTest, RefusesWhatIsNoDirectoryOfADaemon) {
  fs::create_directories(root_ / "etc" / "oxbow");
  for (const auto& path : {root_ / "etc", root_ / "etc" / "oxbow" / "", root_ / "etc" / "oxbow" / "..",
                           root_ / "etc" / ".." / "oxbow", fs::path("oxbow"), root_ / "my-oxbow"}) {
    const auto refused = run({path, "--owner", "0:0"});
    EXPECT_EQ(refused.code, 2) << path;
    EXPECT_NE(refused.errors.find("only directories of Oxbow"), std::string::npos) << refused.errors;
  }
  for (const auto* owner : {"oxbow", "65532", "65532:", "-1:0", "4294967295:0", "1:1:1"}) {
    EXPECT_EQ(run({root_ / "oxbow", "--owner", owner}).code, 2) << owner;
    EXPECT_FALSE(fs::exists(root_ / "oxbow"));
  }
  EXPECT_EQ(run({"--owner", "1:1"}).code, 2);
  std::ofstream(root_ / "oxbow-file") << "x";
  const auto failed = run({root_ / "oxbow-file", "--owner", "0:0"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_NE(failed.errors.find("oxbow-file"), std::string::npos);
  fs::create_directory_symlink(root_ / "etc", root_ / "oxbow-link");
  EXPECT_EQ(run({root_ / "oxbow-link", "--owner", "0:0"}).code, 1);
}

}  // namespace
}  // namespace oxbow::mirror

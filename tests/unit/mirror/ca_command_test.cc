// `oxbow ca` from its arguments to what it prints and how it ends.
#include "mirror/ca_command.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "command_run.h"
#include "config/loader.h"

namespace oxbow::mirror {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;

constexpr std::chrono::sys_seconds kNow{std::chrono::seconds(1'790'000'000)};

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class CaCommandTest : public testing::Test {
 protected:
  CaCommandTest() {
    // In memory where the machine has it: every file is synced, which waits for whatever else the disk does.
    const fs::path memory = "/dev/shm";
    const auto base = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
    std::string pattern = (base / "oxbow-ca-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    ca_ = root_ / "ca";
  }
  ~CaCommandTest() override { fs::remove_all(root_); }

  Outcome run(std::vector<std::string> arguments, std::chrono::sys_seconds now = kNow) {
    CLI::App app;
    app.require_subcommand(1);
    const CaCommand command(app);
    return run_command(app, "ca", std::move(arguments), [&](std::FILE* said, std::FILE* complained) {
      EXPECT_TRUE(command.parsed());
      return command.run(now, said, complained);
    });
  }

  fs::path root_, ca_;
};

// The printed lines are a configuration that the loader takes, and they name the files that are there.
TEST_F(CaCommandTest, IssuePrintsAConfigurationThatLoads) {
  ASSERT_EQ(run({"create", ca_, "--name", "blue"}).code, 0);
  const auto issued =
      run({"issue", ca_, "--dns", "one.example", "node-1", "--out", root_ / "odd \"name\\", "--ip", "10.0.0.1"});
  ASSERT_EQ(issued.code, 0) << issued.errors;
  const auto file = root_ / "oxbow.toml";
  std::ofstream(file) << issued.out.substr(issued.out.find("[peer]"));
  const auto loaded = config::load(file, {}, {});
  ASSERT_TRUE(loaded) << config::to_string(loaded.error().front());
  EXPECT_EQ(loaded->config.peer.name, "node-1");
  for (const auto& path :
       {loaded->config.peer.tls.ca, loaded->config.peer.tls.certificate, loaded->config.peer.tls.key})
    EXPECT_TRUE(fs::exists(path)) << path;
}

// An init container has the CA's two files, read-only, and may run any number of times.
TEST_F(CaCommandTest, WithoutARecordTwoFilesAreEnoughAndASecondRunReplaces) {
  ASSERT_EQ(run({"create", ca_}).code, 0);
  const auto secret = root_ / "secret", tls = root_ / "tls";
  fs::create_directory(secret);
  for (const auto* name : {"ca.key", "ca.crt"}) fs::copy_file(ca_ / name, secret / name);
  const auto other = root_ / "other";
  ASSERT_EQ(run({"create", other}).code, 0);
  std::ofstream(secret / "ca.crt", std::ios::app) << text_of(other / "ca.crt");  // during a change of CA
  EXPECT_EQ(run({"issue", secret, "node-1", "--out", tls}).code, 1);
  std::string before;
  for (int i = 0; i < 2; ++i) {
    const auto issued = run({"issue", secret, "node-1", "--out", tls, "--unrecorded"});
    ASSERT_EQ(issued.code, 0) << issued.errors;
    EXPECT_EQ(text_of(tls / "ca.crt"), text_of(secret / "ca.crt"));
    EXPECT_TRUE(fs::exists(tls / "node-1.key"));
    EXPECT_NE(text_of(tls / "node-1.crt"), before);
    before = text_of(tls / "node-1.crt");
  }
  EXPECT_FALSE(fs::exists(secret / "index.json"));
  EXPECT_EQ(run({"issue", secret, "node-1", "--unrecorded"}).code, 2);
  EXPECT_EQ(run({"issue", secret, "Node_1", "--out", tls, "--unrecorded"}).code, 2);
}

// Exit codes: 0 done, 1 failed, 2 a wrong argument; results go to one stream, errors to the other, with what to do.
TEST_F(CaCommandTest, ExitCodes) {
  const auto nowhere = run({"issue", ca_, "node-1"});
  EXPECT_EQ(nowhere.code, 1);
  EXPECT_EQ(nowhere.out, "");
  EXPECT_NE(nowhere.errors.find("oxbow ca create"), std::string::npos) << nowhere.errors;
  EXPECT_EQ(run({"create", ca_, "--days", "0"}).code, 2);
  EXPECT_EQ(run({"create", ca_, "--days", "many"}).code, 2);
  const auto created = run({"create", ca_});
  EXPECT_EQ(created.code, 0);
  EXPECT_EQ(created.errors, "");
  EXPECT_EQ(run({"create", ca_}).code, 1);
  EXPECT_EQ(run({"issue", ca_, "Node_1"}).code, 2);
  EXPECT_EQ(run({"issue", ca_}).code, 2);
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"issue", ca_, "node-1"}).code, 0);
  const auto again = run({"issue", ca_, "node-1"});
  EXPECT_EQ(again.code, 1);
  EXPECT_NE(again.errors.find("oxbow ca renew"), std::string::npos) << again.errors;
  EXPECT_EQ(run({"renew", ca_, "node-1", "--keep-key", "--days", "7"}).code, 0);
  EXPECT_EQ(run({"revoke", ca_, "node-2"}).code, 1);
  EXPECT_EQ(run({"readmit", ca_, "node-1"}).code, 1);
}

// Revoking says what is refused now, names the file and the ways to the cluster; readmitting undoes the name only.
TEST_F(CaCommandTest, RevokeSaysHowTheClusterLearnsOfIt) {
  ASSERT_EQ(run({"create", ca_}).code, 0);
  ASSERT_EQ(run({"issue", ca_, "node-7"}).code, 0);
  const auto revoked = run({"revoke", ca_, "node-7"});
  ASSERT_EQ(revoked.code, 0);
  for (const char* const part : {"node-7", "serial:", "peer.revoked_file", "etcdctl put",
                                 "kubectl create configmap oxbow-cluster --from-file=revoked="})
    EXPECT_NE(revoked.out.find(part), std::string::npos) << part;
  EXPECT_NE(revoked.out.find((ca_ / "revoked.json").string()), std::string::npos);
  const auto list = nlohmann::json::parse(text_of(ca_ / "revoked.json"));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0], "node-7");
  EXPECT_EQ(run({"renew", ca_, "node-7"}).code, 1);
  EXPECT_EQ(run({"readmit", ca_, "node-7"}).code, 0);
  EXPECT_EQ(nlohmann::json::parse(text_of(ca_ / "revoked.json")).size(), 1U);
  EXPECT_EQ(run({"renew", ca_, "node-7"}).code, 0);
}

// Each certificate is in one state, and both forms of the list say the same.
TEST_F(CaCommandTest, ListMarksWhatNeedsAttention) {
  ASSERT_EQ(run({"create", ca_}).code, 0);
  ASSERT_EQ(run({"issue", ca_, "gone", "--days", "5"}).code, 0);
  ASSERT_EQ(run({"issue", ca_, "due", "--days", "12"}).code, 0);
  ASSERT_EQ(run({"issue", ca_, "shut-out"}).code, 0);
  ASSERT_EQ(run({"issue", ca_, "good", "--days", "300"}).code, 0);
  ASSERT_EQ(run({"renew", ca_, "good"}).code, 0);
  ASSERT_EQ(run({"revoke", ca_, "shut-out"}).code, 0);
  const auto later = kNow + days(10);
  const auto listed = run({"list", ca_, "--json"}, later);
  ASSERT_EQ(listed.code, 0);
  const auto json = nlohmann::json::parse(listed.out);
  const std::vector<std::pair<std::string, std::string>> expected{
      {"gone", "expired"}, {"due", "renew"}, {"shut-out", "revoked"}, {"good", "replaced"}, {"good", "valid"}};
  ASSERT_EQ(json["certificates"].size(), expected.size());
  const auto table = run({"list", ca_}, later).out;
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);
  EXPECT_NE(line.find("oxbow cluster"), std::string::npos);
  std::getline(lines, line);
  for (std::size_t at = 0; at < expected.size(); ++at) {
    const auto& row = json["certificates"][at];
    EXPECT_EQ(row["name"], expected[at].first);
    EXPECT_EQ(row["state"], expected[at].second);
    std::getline(lines, line);
    EXPECT_TRUE(line.starts_with(expected[at].first) && line.ends_with(expected[at].second)) << line;
    EXPECT_NE(line.find(row["serial"].get<std::string>()), std::string::npos);
  }
  EXPECT_EQ(json["certificates"][0]["days_left"], -5);
  EXPECT_EQ(json["certificates"][1]["days_left"], 2);
  EXPECT_EQ(json["revoked_names"], nlohmann::json::array({"shut-out"}));
}

// Help teaches by the example of a whole cluster.
TEST_F(CaCommandTest, HelpShowsAClusterOfThree) {
  const auto help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* const part : {"node-1", "node-2", "node-3", "[peer.tls]", "oxbow ca revoke", "docs/certificates.md"})
    EXPECT_NE(help.out.find(part), std::string::npos) << part;
}

}  // namespace
}  // namespace oxbow::mirror

// `oxbow doctor` from its arguments to the page, the JSON and the exit code.
#include <CLI/CLI.hpp>
#include <thread>

#include "../command_run.h"
#include "core/encoding.h"
#include "fake_system.h"
#include "mirror/doctor/doctor_command.h"
#include "mirror/doctor/report.h"

namespace oxbow::mirror {
namespace {

using doctor::FakeSystem;
using doctor::Level;

class DoctorCommandTest : public testing::Test {
 protected:
  Outcome run(std::vector<std::string> arguments, const std::string& toml = "") {
    CLI::App app;
    app.require_subcommand(1);
    DoctorCommand command(app);
    return run_command(app, "doctor", std::move(arguments), [&](std::FILE* said, std::FILE* complained) {
      return command.run(config::load_text(toml, "oxbow.toml"), "oxbow.toml", system, said, complained);
    });
  }

  std::shared_ptr<FakeSystem> system = std::make_shared<FakeSystem>();
};

TEST_F(DoctorCommandTest, OneGroupThatIsGood) {
  const auto done = run({"--only", "kernel"});
  EXPECT_EQ(done.code, 0);
  EXPECT_TRUE(done.out.contains("kernel\n  ok       nothing to change\n")) << done.out;
  EXPECT_TRUE(done.out.contains("all is well: 0 failed, 0 warnings, 1 good")) << done.out;
  EXPECT_EQ(done.out.find("\033"), std::string::npos);
}

TEST_F(DoctorCommandTest, AWarningIsNoFailure) {
  system->ring_errno = EPERM;
  const auto done = run({"--only", "io_uring"});
  EXPECT_EQ(done.code, 0);
  EXPECT_TRUE(done.out.contains("it works: 0 failed, 1 warning,")) << done.out;
  EXPECT_TRUE(done.out.contains("do: ")) << done.out;
}

TEST_F(DoctorCommandTest, AStoppedDaemon) {
  const auto done = run({"--only", "daemon"});
  EXPECT_EQ(done.code, 1);
  EXPECT_TRUE(done.out.contains("FAIL")) << done.out;
  EXPECT_TRUE(done.out.contains("systemctl start oxbow")) << done.out;
}

TEST_F(DoctorCommandTest, AConfigurationThatDoesNotLoad) {
  const auto done = run({}, "[client]\nlissen = 1\n");
  EXPECT_EQ(done.code, 1);
  EXPECT_TRUE(done.out.contains("oxbow.toml:2")) << done.out;
  EXPECT_TRUE(done.out.contains("once the configuration loads")) << done.out;
}

TEST_F(DoctorCommandTest, Json) {
  const auto done = run({"--json", "--only", "daemon", "--only", "kernel"});
  EXPECT_EQ(done.code, 1);
  const auto json = nlohmann::json::parse(done.out);
  EXPECT_FALSE(json["healthy"].get<bool>());
  ASSERT_EQ(json["groups"].size(), 2U);
  EXPECT_EQ(json["groups"][0]["name"], "daemon");
  EXPECT_EQ(json["groups"][0]["findings"][0]["level"], "fail");
  EXPECT_EQ(json["groups"][0]["findings"][0]["id"], "daemon.stopped");
  EXPECT_TRUE(json["groups"][1]["findings"][0]["fix"].is_null());
}

TEST_F(DoctorCommandTest, BadArguments) {
  EXPECT_EQ(run({"--only", "nonsense"}).code, 2);
  EXPECT_EQ(run({"--root", "relative"}).code, 2);
  EXPECT_EQ(run({"surplus"}).code, 2);
}

TEST_F(DoctorCommandTest, SaysThatSudoWouldShowMore) {
  EXPECT_FALSE(run({"--only", "kernel"}).out.contains("sudo"));
  system->uid = 1000;
  EXPECT_TRUE(run({"--only", "kernel"}).out.contains("sudo oxbow doctor"));
}

/// A registry that never answers costs its own group only.
TEST(DoctorTime, WhatHangsIsNamed) {
  class Hanging final : public doctor::System {
   public:
    Result<std::string> read(const std::filesystem::path& path) const override { return inner.read(path); }
    Result<doctor::FileFacts> look(const std::filesystem::path& path) const override { return inner.look(path); }
    std::vector<std::string> list(const std::filesystem::path&) const override { return {}; }
    std::string link(const std::filesystem::path&) const override { return {}; }
    Result<doctor::DiskFacts> disk(const std::filesystem::path& path) const override { return inner.disk(path); }
    uid_t user() const override { return 0; }
    std::string environment(const std::string&) const override { return {}; }
    std::chrono::sys_seconds now() const override { return inner.now(); }
    std::optional<bool> clock_is_kept() const override { return true; }
    int io_uring_errno() const override { return 0; }
    int bind_errno(const std::string&) const override { return 0; }
    std::vector<doctor::HttpReply> fetch(const std::vector<doctor::HttpAsk>& asks,
                                         std::chrono::milliseconds timeout) const override {
      if (!asks.empty() && asks.front().url.starts_with("https://")) {
        std::unique_lock lock(mutex);
        free.wait(lock, [&] { return ended; });
      }
      return inner.fetch(asks, timeout);
    }
    std::vector<doctor::NodeAnswer> ask_as_node(const std::vector<upstream::UpstreamConfig>&,
                                                std::chrono::milliseconds) const override {
      return {};
    }
    void end() {
      const std::lock_guard lock(mutex);
      ended = true;
      free.notify_all();
    }

    FakeSystem inner;
    mutable std::mutex mutex;
    mutable std::condition_variable free;
    bool ended = false;
  };
  const auto system = std::make_shared<Hanging>();
  doctor::Request request{config::load_text("", "oxbow.toml"), "oxbow.toml", {"kernel", "upstream"}, {}, system, {}};
  request.whole_time = std::chrono::milliseconds(200);
  const auto diagnosis = doctor::examine(std::move(request));
  EXPECT_FALSE(diagnosis.finished);
  ASSERT_EQ(diagnosis.groups.size(), 2U);
  EXPECT_EQ(diagnosis.groups[1].findings.front().id, "doctor.slow");
  EXPECT_TRUE(diagnosis.groups[1].findings.front().text.contains("the registries"));
  system->end();
}

TEST(DoctorReport, WrapsAndColours) {
  doctor::Findings findings;
  findings.fail("a.b", std::string(60, 'x') + " " + std::string(60, 'y'), "It means this.", "first line\nsecond line");
  const auto page = doctor::report_text({{"group", findings.all()}}, {.colour = true, .width = 80});
  EXPECT_TRUE(page.contains("\033[31mFAIL   \033[0m")) << page;
  EXPECT_TRUE(page.contains("\n           " + std::string(60, 'y') + "\n           It means this.\n")) << page;
  EXPECT_TRUE(page.contains("do: first line\n               second line\n")) << page;
}

TEST(DoctorReport, ATerminalIsNotCommanded) {
  doctor::Findings findings;
  findings.ok("a.b", "a\033[2Jb\nc");
  EXPECT_EQ(findings.all().front().text, "a?[2Jb\nc");
}

TEST(DoctorWords, AreShort) {
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes(5), "5 B");
  EXPECT_EQ(doctor::human_time(std::chrono::seconds(-90)), "90 s");
  EXPECT_EQ(doctor::human_time(std::chrono::hours(50)), "2 days");
  EXPECT_EQ(doctor::joined({"a", "b", "c"}, 2), "a, b and 1 more");
}

}  // namespace
}  // namespace oxbow::mirror

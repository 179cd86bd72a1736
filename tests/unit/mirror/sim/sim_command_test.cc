// `oxbow sim` from its arguments to what it prints and how it ends, with simulations that do nothing.
#include "mirror/sim/sim_command.h"

#include <gtest/gtest.h>

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "mirror/sim/sim_watch.h"
#include "tests/unit/mirror/command_run.h"

namespace oxbow::mirror {
namespace {

namespace fs = std::filesystem;
using p2p::sim::Progress;
using p2p::sim::Report;

/// Reports what it was asked.
class FakePart final : public SimPart {
 public:
  using Ending = std::function<Result<Report>(Report, Progress&)>;
  FakePart(std::string name, SimCommon& asked, Ending ending)
      : name_(std::move(name)), asked_(asked), ending_(std::move(ending)) {}

  CLI::App* add(CLI::App& sim) override {
    auto* out = sim.add_subcommand(name_, "A fake");
    out->add_option("--speed", speed_, "Its own option");
    return out;
  }
  Result<Report> run(const SimCommon& common, Progress& progress) override {
    asked_ = common;
    Report report;
    report.title = name_;
    report.json = R"({"speed":)" + std::to_string(speed_) + "}";
    return ending_(std::move(report), progress);
  }

 private:
  std::string name_;
  SimCommon& asked_;
  Ending ending_;
  int speed_ = 1;
};

Result<Report> good(Report report, Progress&) { return report; }

class SimCommandTest : public testing::Test {
 protected:
  Outcome run(std::vector<std::string> arguments) {
    CLI::App app;
    app.require_subcommand(1);
    std::vector<std::unique_ptr<SimPart>> parts;
    parts.push_back(std::make_unique<FakePart>("one", asked_one_, ending_));
    parts.push_back(std::make_unique<FakePart>("two", asked_two_, good));
    SimCommand command(app, std::move(parts));
    return run_command(app, "sim", std::move(arguments), [&](std::FILE* said, std::FILE* complained) {
      EXPECT_TRUE(command.parsed());
      return command.run(said, complained);
    });
  }

  FakePart::Ending ending_ = good;
  SimCommon asked_one_, asked_two_;
};

TEST_F(SimCommandTest, CommonOptionsReachThePart) {
  const auto done =
      run({"one", "--seeds", "5", "--seed", "7", "--nodes", "10,200", "--nodes", "3000", "--threads", "2"});
  EXPECT_EQ(done.code, 0) << done.errors;
  EXPECT_EQ(asked_one_.seeds, 5U);
  EXPECT_EQ(asked_one_.first_seed, 7U);
  EXPECT_EQ(asked_one_.nodes, (std::vector<std::uint32_t>{10, 200, 3000}));
  EXPECT_EQ(asked_one_.threads, 2U);
  EXPECT_FALSE(asked_one_.quick);
  EXPECT_EQ(asked_two_.threads, 0U) << "the other part has not run";
  EXPECT_EQ(done.errors, "") << "no progress bar where there is no terminal";
}

TEST_F(SimCommandTest, DefaultsAreLeftToThePart) {
  EXPECT_EQ(run({"one"}).code, 0);
  EXPECT_EQ(asked_one_.seeds, 0U);
  EXPECT_EQ(asked_one_.first_seed, 1U);
  EXPECT_TRUE(asked_one_.nodes.empty());
}

// The report says by which command it is made again: what changes the numbers, and nothing else.
TEST_F(SimCommandTest, ThreeForms) {
  EXPECT_EQ(run({"one", "--nodes", "1,2", "--threads", "1", "--speed", "3"}).out,
            "one\n===\noxbow sim one --speed 3 --nodes 1,2\n");
  EXPECT_EQ(run({"one", "--markdown"}).out, "## one\n\n`oxbow sim one`\n");
  const auto json = nlohmann::json::parse(run({"one", "--json", "--speed", "4"}).out);
  EXPECT_EQ(json["speed"], 4);
  EXPECT_EQ(json["command"], "oxbow sim one --speed 4");
}

TEST_F(SimCommandTest, AllRunsEachInSmall) {
  const auto done = run({"all", "--json", "--seeds", "3"});
  EXPECT_EQ(done.code, 0);
  const auto json = nlohmann::json::parse(done.out);
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["title"], "one");
  EXPECT_EQ(json[1]["command"], "oxbow sim all --seeds 3");
  EXPECT_TRUE(asked_one_.quick);
  EXPECT_EQ(asked_two_.seeds, 3U);
  EXPECT_EQ(run({"all", "--full"}).code, 0);
  EXPECT_FALSE(asked_one_.quick);
}

TEST_F(SimCommandTest, WritesThePage) {
  std::string pattern = (fs::temp_directory_path() / "oxbow-sim-XXXXXX").string();
  const fs::path root = ::mkdtemp(pattern.data());
  const auto directory = root / "deep" / "er";
  const auto done = run({"all", "--report", directory});
  EXPECT_EQ(done.code, 0) << done.errors;
  EXPECT_NE(done.errors.find("index.html"), std::string::npos);
  std::ifstream file(directory / "index.html");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(page.find("<h2 id=\"r1\">two</h2>"), std::string::npos);

  std::ofstream(root / "file") << "in the way";
  const auto blocked = run({"one", "--report", root / "file" / "x"});
  EXPECT_EQ(blocked.code, 1);
  EXPECT_NE(blocked.errors.find("oxbow sim: make "), std::string::npos) << blocked.errors;
  fs::remove_all(root);
}

TEST_F(SimCommandTest, ExitCodes) {
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"three"}).code, 2);
  EXPECT_EQ(run({"one", "--nodes", "0"}).code, 2);
  EXPECT_EQ(run({"one", "--nodes", "many"}).code, 2);
  EXPECT_EQ(run({"one", "--seeds", "0"}).code, 2);
  EXPECT_EQ(run({"one", "--json", "--markdown"}).code, 2);
  EXPECT_EQ(run({"one", "--help"}).code, 0);
  ending_ = [](Report, Progress&) -> Result<Report> { return fail(Errc::kInvalid, "too few nodes"); };
  const auto wrong = run({"one"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_EQ(wrong.out, "");
  EXPECT_EQ(wrong.errors, "oxbow sim: one: too few nodes\n");
  ending_ = [](Report, Progress&) -> Result<Report> { return fail(Errc::kIo, "no luck"); };
  EXPECT_EQ(run({"one"}).code, 1);
  EXPECT_EQ(run({"all"}).code, 1);
}

// A part that did not notice that it was cancelled ends without a result too.
TEST_F(SimCommandTest, CancelledWritesNothing) {
  ending_ = [](Report report, Progress& progress) -> Result<Report> {
    progress.cancel();
    return report;
  };
  const auto done = run({"all", "--report", "/nonexistent/never-made"});
  EXPECT_EQ(done.code, 130);
  EXPECT_EQ(done.out, "");
}

// Ctrl-C: the running simulation is told, ends by itself, and the signal is as it was before.
TEST_F(SimCommandTest, SigintCancels) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own: no other thread may take the signal
  ending_ = [](Report, Progress& progress) -> Result<Report> {
    ::kill(::getpid(), SIGINT);
    while (!progress.cancelled()) std::this_thread::yield();
    return fail(Errc::kCancelled, "interrupted");
  };
  EXPECT_EXIT(
      {
        const auto done = run({"one"});
        std::fputs(done.errors.c_str(), stderr);
        sigset_t now;
        ::pthread_sigmask(SIG_BLOCK, nullptr, &now);
        std::_Exit(::sigismember(&now, SIGINT) == 0 ? done.code : 1);
      },
      testing::ExitedWithCode(130), "cancelling; once more to end at once");
}

TEST(SimWatchTest, ProgressLine) {
  EXPECT_EQ(progress_line("pulls", 0, 0, 1), "pulls …");
  EXPECT_EQ(progress_line("pulls", 0, 4, 1), "[                              ]   0 %  pulls");
  EXPECT_EQ(progress_line("pulls", 2, 4, 10), "[###############               ]  50 %  pulls  about 10 s left");
  EXPECT_EQ(progress_line("pulls", 9, 4, 10), "[##############################] 100 %  pulls");
}

}  // namespace
}  // namespace oxbow::mirror

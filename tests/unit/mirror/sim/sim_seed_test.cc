// `oxbow sim seed` as it is typed.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "mirror/sim/sim_command.h"
#include "tests/unit/mirror/command_run.h"

namespace oxbow::mirror {
namespace {

Outcome sim(std::vector<std::string> arguments) {
  CLI::App app;
  SimCommand command(app);
  return run_command(app, "sim", std::move(arguments),
                     [&](std::FILE* said, std::FILE* complained) { return command.run(said, complained); });
}

const std::vector<std::string> kSmall{"seed", "--nodes", "64", "--seeds",    "2", "--rack-nodes", "4", "--row-racks",
                                      "4",    "--v",     "1",  "--replicas", "3"};

std::vector<std::string> with(std::vector<std::string> more) {
  auto out = kSmall;
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

TEST(SimSeedCommand, JsonHasArmsAndBenefit) {
  const auto json = nlohmann::json::parse(sim(with({"--json"})).out);
  EXPECT_EQ(json["64"].size(), 3U);
  EXPECT_TRUE(json["64"]["uniform"]["serve_skew_max"]["p5"].is_number());
  EXPECT_EQ(json["command"], "oxbow sim seed --rack-nodes 4 --row-racks 4 --v 1 --replicas 3 --seeds 2 --nodes 64");
}

// Each option reaches the model: it changes the numbers.
TEST(SimSeedCommand, OptionsChangeTheResult) {
  const auto numbers = [](const std::vector<std::string>& more) {
    auto arguments = with(more);
    arguments.emplace_back("--json");
    auto json = nlohmann::json::parse(sim(arguments).out);
    json.erase("command");
    return json;
  };
  const auto before = numbers({});
  EXPECT_EQ(numbers({"--threads", "3"}), before);
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{{"--seed", "2"},
                                                                                    {"--files", "7"},
                                                                                    {"--stripes", "3"},
                                                                                    {"--alpha", "0"},
                                                                                    {"--requests-per-node", "2"},
                                                                                    {"--jitter", "0"},
                                                                                    {"--first-nearest"},
                                                                                    {"--epsilon-inverse-b"},
                                                                                    {"--no-pins"},
                                                                                    {"--capacity", "2"}})
    EXPECT_NE(numbers(more), before) << more[0];
}

TEST(SimSeedCommand, FixesAreATable) {
  const auto done = sim(with({"--fixes", "--markdown"}));
  EXPECT_EQ(done.code, 0);
  for (const auto* row : {"| as published |", "| ε = 1/b |", "| nothing pinned |", "| LRU of 8 |", "| all three |"})
    EXPECT_NE(done.out.find(row), std::string::npos) << row;
}

TEST(SimSeedCommand, HelpTeachesAndNonsenseIsRefused) {
  const auto help = sim({"seed", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const auto* part : {"--fixes", "--nodes", "level-2", "oxbow sim seed --no-pins"})
    EXPECT_NE(help.out.find(part), std::string::npos) << part;
  EXPECT_EQ(sim(with({"--v", "100"})).code, 2);
  EXPECT_EQ(sim(with({"--alpha", "-1"})).code, 2);
}

}  // namespace
}  // namespace oxbow::mirror

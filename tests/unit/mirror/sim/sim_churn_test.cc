// `oxbow sim churn` as it is typed.
#include <nlohmann/json.hpp>

#include "mirror/sim/sim_command.h"
#include "tests/unit/mirror/command_run.h"

namespace oxbow::mirror {
namespace {

std::string announcements(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"churn", "--nodes",   "100", "--pulls",    "100",    "--measured-ms",
                                     "60000", "--rate",    "0.1", "--scenario", "steady", "--strategy",
                                     "swarm", "--stale-s", "0",   "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  CLI::App app;
  SimCommand command(app);
  const auto said =
      run_command(app, "sim", arguments, [&](std::FILE* out, std::FILE* errors) { return command.run(out, errors); });
  EXPECT_EQ(said.code, 0) << said.errors;
  return said.out;
}

// The rule of telling again reaches the model, whichever is the default: the base of the study is what was asked for.
TEST(SimChurnCommand, TheRuleOfTellingAgainIsTheOneAskedFor) {
  const auto first_rule = [](const std::string& out) {
    const auto json = nlohmann::json::parse(out);
    return json.at("arms").at(0).at("reannounce").get<std::string>();
  };
  EXPECT_EQ(first_rule(announcements({})), "moved");
  EXPECT_EQ(first_rule(announcements({"--reannounce", "moved"})), "moved");
  EXPECT_EQ(first_rule(announcements({"--reannounce", "settled"})), "settled");
}

}  // namespace
}  // namespace oxbow::mirror

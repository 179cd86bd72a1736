// `oxbow pull`'s arguments, and where it looks for the mirror.
#include "mirror/operator/pull_command.h"

#include <gtest/gtest.h>

#include "mirror/operator/mirror_address.h"
#include "mirror/operator/preheat_watch.h"
#include "tests/unit/mirror/command_run.h"

namespace oxbow::mirror {
namespace {

Outcome pull(std::vector<std::string> arguments) {
  CLI::App app{"oxbow"};
  PullCommand command(app);
  auto config = config::defaults();
  config.client.listen = {"127.0.0.1:1"};  // nobody
  config.admin = {};
  return run_command(app, "pull", std::move(arguments), [&](std::FILE* out, std::FILE* errors) {
    std::FILE* in = std::tmpfile();
    const int code = command.run(config, in, out, errors);
    std::fclose(in);
    return code;
  });
}

TEST(PullArguments, AreChecked) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{}, "which image"},
      {{"Nginx"}, "lower case"},
      {{"nginx", "--platform", "x"}, "os/architecture"},
      {{"nginx", "--username", "alice"}, "go together"},
      {{"nginx", "--password-stdin"}, "go together"},
      {{"nginx", "--username", "alice", "--password-stdin"}, "nothing came"},
      {{"nginx", "--nodes", "0%"}, "1% to 100%"},
      {{"nginx", "--nodes", "a,,b"}, "NAME,NAME"},
      {{"nginx", "--nodes", "all", "--username", "alice", "--password-stdin"}, "no credential travels"},
      {{"nginx", "--status", "x"}, "stand alone"},
      {{"--status", "x", "--cancel", "y"}, "stand alone"},
      {{"nginx", "--nodes", "all"}, "admin.socket"}};
  for (const auto& [arguments, says] : wrong) {
    const auto outcome = pull(arguments);
    EXPECT_EQ(outcome.code, 2) << says;
    EXPECT_TRUE(outcome.errors.contains(says)) << outcome.errors;
  }
}

TEST(PullArguments, WithoutAMirrorItSaysWhatToDo) {
  const auto outcome = pull({"nginx"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(outcome.errors.contains("systemctl status oxbow")) << outcome.errors;
}

TEST(MirrorAddressOfConfig, IsTheLoopbackOneWhereThereIsOne) {
  config::Client client;
  client.listen = {"10.0.0.7:5050", "127.0.0.1:5051"};
  EXPECT_EQ(mirror_address(client)->url, "http://127.0.0.1:5051");
  EXPECT_TRUE(mirror_address(client)->private_way);
  client.listen = {"0.0.0.0:5050"};
  EXPECT_EQ(mirror_address(client)->url, "http://127.0.0.1:5050");
  client.listen = {"[::]:5050"};
  EXPECT_EQ(mirror_address(client)->url, "http://[::1]:5050");
  client.listen = {"10.0.0.7:5050"};
  EXPECT_EQ(mirror_address(client)->url, "http://10.0.0.7:5050");
  EXPECT_FALSE(mirror_address(client)->private_way);
  client.listen = {};
  EXPECT_FALSE(mirror_address(client));
  client.listen = {"127.0.0.1:5050"};
  client.tls.certificate = "/nonexistent/oxbow.crt";
  EXPECT_FALSE(mirror_address(client));
}

TEST(MirrorAddressOfConfig, ANameIsNoLoopbackAddress) {
  for (const auto* host : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"}) EXPECT_TRUE(is_loopback_host(host));
  for (const auto* host : {"127.example.com", "10.0.0.1", "localhost.example.com", "", "::2", "0.0.0.0"})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

TEST(PreheatText, FewNodesAreATableAndManyALineAndTheirErrors) {
  using Json = nlohmann::ordered_json;
  Json preheat{{"id", "1"},
               {"image", "x"},
               {"state", "running"},
               {"summary", {{"total", 2}, {"done", 1}, {"failed", 1}, {"bytes_done", 1024}, {"bytes_total", 2048}}},
               {"nodes", Json::array()}};
  EXPECT_EQ(preheat_line(preheat), "1 of 2 nodes done, 1 failed, 1.0 KiB of 2.0 KiB");
  const auto node = [](int i, const char* error) {
    return Json{{"name", "node-" + std::to_string(i)},
                {"state", "failed"},
                {"bytes_done", 1},
                {"bytes_total", 2},
                {"error", error == nullptr ? Json(nullptr) : Json(error)}};
  };
  preheat["nodes"] = {node(1, nullptr), node(2, "disk \x1b full")};
  auto text = preheat_table(preheat, 0);
  EXPECT_TRUE(text.contains("node-1")) << text;
  EXPECT_TRUE(text.contains("disk ? full")) << text;
  for (int i = 3; i < 100; ++i) preheat["nodes"].push_back(node(i, nullptr));
  text = preheat_table(preheat, 0);
  EXPECT_FALSE(text.contains("node-1 ")) << text;
  EXPECT_TRUE(text.contains("node-2 ")) << text;
}

TEST(Nodes, AreAllAShareOrNames) {
  EXPECT_EQ(*parse_nodes("all"), "all");
  EXPECT_EQ(*parse_nodes("25%"), "25%");
  EXPECT_EQ(parse_nodes("a, b")->dump(), R"(["a","b"])");
  for (const auto* text : {"", ",", "a,", "%", "200%", "-5%"}) EXPECT_FALSE(parse_nodes(text)) << text;
}

}  // namespace
}  // namespace oxbow::mirror

#include "mirror/install/registries_yaml.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mirror/upstream/simple_yaml.h"

namespace oxbow::mirror::install {
namespace {

const std::string kMirror = "http://127.0.0.1:5050";

/// What k3s reads then; and the way back gives the text again, also when a line was added at the end.
nlohmann::json added(std::string_view text, const std::vector<std::string>& names) {
  const auto edit = add_endpoints(text, names, kMirror);
  EXPECT_TRUE(edit) << edit.error().what();
  if (!edit) return {};
  EXPECT_EQ(undo(edit->edited.text, edit->edited.hunks), text);
  EXPECT_EQ(undo(edit->edited.text + "# more\n", edit->edited.hunks), std::string(text) + "# more\n");
  const auto again = add_endpoints(edit->edited.text, names, kMirror);
  EXPECT_TRUE(again && again->edited.hunks.empty());
  return upstream::parse_simple_yaml(edit->edited.text).value_or(nlohmann::json());
}

TEST(RegistriesYaml, NewFilesAndNewEntriesComeInOrder) {
  const auto edit = add_endpoints("", {"docker.io", "quay.io"}, kMirror);
  ASSERT_TRUE(edit);
  EXPECT_LT(edit->edited.text.find("docker.io:"), edit->edited.text.find("quay.io:"));
  EXPECT_EQ(added("", {"docker.io", "a.test:5000"}).at("mirrors").at("a.test:5000").at("endpoint"),
            nlohmann::json({kMirror}));
  EXPECT_TRUE(
      added("configs:\n  a.test:\n    auth:\n      username: u\n", {"docker.io", "quay.io"}).contains("configs"));
}

TEST(RegistriesYaml, TheMirrorIsTheFirstEndpointInEveryForm) {
  const auto file = added(
      "mirrors:\n    docker.io:\n        endpoint:\n          - \"https://a.test\"  # the site's\n    quay.io:\n"
      "        endpoint: [\"https://a.test\", https://b.test]\n    ghcr.io:\n        endpoint: []\n    \"k8s.io\":\n"
      "        rewrite:\n            x: y\n    nvcr.io:\n        endpoint:\n        - https://a.test\n",
      {"docker.io", "quay.io", "ghcr.io", "k8s.io", "nvcr.io"});
  for (auto& [name, registry] : file.at("mirrors").items()) EXPECT_EQ(registry.at("endpoint").at(0), kMirror) << name;
  EXPECT_EQ(file.at("mirrors").at("quay.io").at("endpoint").size(), 3U);
}

TEST(RegistriesYaml, AnEmptyMappingIsFilled) {
  EXPECT_EQ(added("mirrors:\nconfigs:\n  x: y\n", {"docker.io"}).at("mirrors").size(), 1U);
  EXPECT_EQ(added("mirrors:\n  docker.io:\n", {"docker.io"}).at("mirrors").size(), 1U);
}

TEST(RegistriesYaml, ANewEntryKeepsTheEndpointsOfTheWildcardThatItHides) {
  const auto file = added("mirrors:\n  \"*\":\n    endpoint:\n    - https://all.test\n", {"docker.io"});
  EXPECT_EQ(file.at("mirrors").at("docker.io").at("endpoint"), nlohmann::json({kMirror, "https://all.test"}));
}

TEST(RegistriesYaml, OtherFormsAreLeftWithTheTextToPutIn) {
  for (const auto* text : {"mirrors: {}\n", "mirrors:\n  docker.io: {}\n", "mirrors:\n  docker.io:\n    endpoint: x\n",
                           "mirrors:\n  \"*\":\n    rewrite:\n      a: b\n", "- mirrors\n"}) {
    const auto edit = add_endpoints(text, {"docker.io"}, kMirror);
    ASSERT_FALSE(edit) << text;
  }
  EXPECT_TRUE(add_endpoints("mirrors:\n  docker.io:\n    endpoint: x\n", {"docker.io"}, kMirror)
                  .error()
                  .what()
                  .contains("- \"http://127.0.0.1:5050\""));
}

}  // namespace
}  // namespace oxbow::mirror::install

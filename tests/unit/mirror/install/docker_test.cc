#include <nlohmann/json.hpp>

#include "mirror/install/daemon_json.h"
#include "node.h"

namespace oxbow::mirror::install {
namespace {

constexpr const char* kFile = "/etc/docker/daemon.json";
const std::string kMirror = "http://127.0.0.1:5050";

nlohmann::json added(std::string_view text) {
  const auto edit = add_docker_mirror(text, kMirror);
  EXPECT_TRUE(edit && *edit) << text;
  if (!edit || !*edit) return {};
  EXPECT_EQ(undo((*edit)->text, (*edit)->hunks), text);
  return nlohmann::json::parse((*edit)->text);
}

TEST(DaemonJson, TheMirrorComesFirstAndTheRestStays) {
  const auto expected = nlohmann::json({kMirror, "https://b.test"});
  EXPECT_EQ(added(R"({"a": "\"registry-mirrors\": [", "registry-mirrors": ["https://b.test"]})").at("registry-mirrors"),
            expected);
  EXPECT_EQ(added("{\n\t\"registry-mirrors\" : [\n\t\t\"https://b.test\"\n\t]\n}").at("registry-mirrors"), expected);
  EXPECT_EQ(added(R"({"x": {"registry-mirrors": []}})").size(), 2U);
  EXPECT_EQ(added("{}"), nlohmann::json::parse(new_daemon_json(kMirror)));
  EXPECT_EQ(added("{\n  \"debug\": true\n}\n").size(), 2U);
  EXPECT_EQ(added(R"({"registry-mirrors": []})").size(), 1U);
}

TEST(DaemonJson, TheMirrorThatIsThereStays) {
  EXPECT_EQ(add_docker_mirror(R"({"registry-mirrors": ["https://b.test", "http://127.0.0.1:5050/"]})", kMirror).value(),
            std::nullopt);
}

TEST(DaemonJson, WhatIsNoObjectIsRefused) {
  for (const auto* text : {"[]", "{", "{}x", "{\"registry-mirrors\": 7}"})
    EXPECT_FALSE(add_docker_mirror(text, kMirror)) << text;
}

class DockerPlan : public testing::Test {
 protected:
  Plan plan() { return plan_docker(View(node_.files(), nothing_), target_); }
  Node node_;
  Manifest nothing_;
  Target target_ = target_of({"docker.io"});
};

TEST_F(DockerPlan, AFlagBesideTheFileWouldKeepDockerdFromStarting) {
  node_.write("/etc/systemd/system/docker.service.d/x.conf", "# --registry-mirror\nExecStart=dockerd\n");
  EXPECT_TRUE(plan().errors.empty());
  node_.write("/etc/systemd/system/docker.service.d/x.conf", "ExecStart=dockerd --registry-mirror=https://a.test\n");
  EXPECT_TRUE(says(plan().errors, "refuses to start"));
}

TEST_F(DockerPlan, NeedsDockerHubAsTheDefault) {
  target_.default_registry = "";
  EXPECT_TRUE(says(plan().errors, "client.default_registry"));
}

TEST_F(DockerPlan, NeedsALoopbackAddress) {
  target_.mirror = "http://10.0.0.1:5050";
  EXPECT_TRUE(says(plan().errors, "loopback"));
}

TEST_F(DockerPlan, AnEmptyFileIsFilled) {
  node_.write(kFile, "\n");
  EXPECT_EQ(plan().changes.at(0).edited.text, new_daemon_json(kMirror) + "\n");
  node_.write(kFile, "{");
  EXPECT_TRUE(says(plan().errors, "not a JSON object"));
}

}  // namespace
}  // namespace oxbow::mirror::install

// What all nodes share, changed by an operator, over a store in memory that others change meanwhile.
#include "mirror/cluster_command.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

namespace oxbow::mirror {
namespace {

class FakeValues final : public p2p::ClusterValues {
 public:
  Result<std::optional<p2p::ClusterValue>> get(std::string key) override {
    if (down) return fail(Errc::kUnavailable, "the store is away");
    const auto found = values.find(key);
    auto out = found == values.end() ? std::nullopt : std::optional(found->second);
    if (after_get) after_get();
    return out;
  }
  Result<p2p::ValueRevision> compare_and_swap(std::string key, std::optional<p2p::ValueRevision> expected,
                                              std::string value) override {
    const auto found = values.find(key);
    const auto now = found == values.end() ? std::nullopt : std::optional(found->second.revision);
    if (now != expected) return fail(Errc::kBusy, "somebody else was faster");
    put(key, std::move(value));
    return values.at(key).revision;
  }
  void watch(std::string, std::function<void(std::optional<p2p::ClusterValue>)>) override {}
  void put(const std::string& key, std::string value) {
    values[key] = {std::move(value), "r" + std::to_string(++revision)};
  }

  std::map<std::string, p2p::ClusterValue> values;
  std::function<void()> after_get;
  int revision = 0;
  bool down = false;
};

TEST(ClusterCommand, EachChangeIsANewEpoch) {
  FakeValues values;
  EXPECT_EQ(shared_settings(values)->has_value(), false);
  const auto first = change_settings(values, {.strategy = "ring", .replicas = {}});
  ASSERT_TRUE(first) << first.error().what();
  EXPECT_EQ(first->epoch, 1U);
  EXPECT_EQ(first->strategy, "ring");
  EXPECT_EQ(first->replicas, 3U);
  const auto second = change_settings(values, {.strategy = {}, .replicas = 5});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->epoch, 2U);
  EXPECT_EQ(second->strategy, "ring");
  const auto now = shared_settings(values);
  ASSERT_TRUE(now && *now);
  EXPECT_EQ((*now)->epoch, 2U);
  EXPECT_EQ((*now)->replicas, 5U);
}

// Another operator changes it in between: nothing of that change is undone.
TEST(ClusterCommand, WhoeverWasFasterIsNotUndone) {
  FakeValues values;
  values.put("settings", R"({"epoch": 4, "strategy": "swarm", "replicas": 3})");
  values.after_get = [&] {
    values.after_get = nullptr;
    values.put("settings", R"({"epoch": 5, "strategy": "fingers", "replicas": 3})");
  };
  const auto changed = change_settings(values, {.strategy = {}, .replicas = 2});
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->epoch, 6U);
  EXPECT_EQ(changed->strategy, "fingers");
  EXPECT_EQ(changed->replicas, 2U);
}

TEST(ClusterCommand, OthersAreFasterEachTime) {
  FakeValues values;
  values.after_get = [&] { values.put("settings", R"({"epoch": 5, "strategy": "fingers", "replicas": 3})"); };
  EXPECT_EQ(change_settings(values, {.strategy = "ring", .replicas = {}}).error().code(), Errc::kBusy);
}

// What cannot be read is left alone: its epoch is not known.
TEST(ClusterCommand, WhatCannotBeReadIsLeftAlone) {
  FakeValues values;
  values.put("settings", "{");
  EXPECT_FALSE(shared_settings(values));
  EXPECT_FALSE(change_settings(values, {.strategy = "ring", .replicas = {}}));
  EXPECT_EQ(values.values.at("settings").value, "{");
  values.down = true;
  EXPECT_EQ(change_settings(values, {.strategy = "ring", .replicas = {}}).error().code(), Errc::kUnavailable);
}

TEST(ClusterCommand, Revoked) {
  FakeValues values;
  const auto count = publish_revoked(values, R"(["node-7", "serial=0a:1b"])");
  ASSERT_TRUE(count) << count.error().what();
  EXPECT_EQ(*count, 2U);
  EXPECT_EQ(values.values.at("revoked").value, R"(["node-7","serial:0A1B"])");
  EXPECT_EQ(publish_revoked(values, "node-7").error().code(), Errc::kInvalid);
  EXPECT_EQ(values.values.at("revoked").value, R"(["node-7","serial:0A1B"])");
}

}  // namespace
}  // namespace oxbow::mirror

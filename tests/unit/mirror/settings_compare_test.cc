#include "mirror/settings_compare.h"

#include <gtest/gtest.h>

namespace oxbow::mirror {
namespace {

using std::chrono::seconds;

class SettingsCompareTest : public ::testing::Test {
 protected:
  /// Says a peer's epoch, and the settings of its file.
  std::optional<SettingsDifference> take(const std::string& name, std::uint64_t epoch, std::uint32_t replicas = 3) {
    p2p::Hello hello;
    hello.facts.name = name;
    hello.strategy = "swarm";
    hello.replicas = replicas;
    hello.settings_epoch = epoch;
    return compare_.take(own_, hello, now_);
  }

  OwnSettings own_{.strategy = "swarm", .replicas = 3};
  Clock::Steady now_{};
  SettingsCompare compare_;
};

// The settings of two files are compared at once, and each peer is named once.
TEST_F(SettingsCompareTest, Files) {
  EXPECT_EQ(take("a", 0), std::nullopt);
  EXPECT_EQ(take("a", 0, 5), SettingsDifference::kSettings);
  EXPECT_EQ(take("a", 0, 5), std::nullopt);
  EXPECT_EQ(take("b", 0, 5), SettingsDifference::kSettings);
}

// Of the cluster's settings one epoch more or less is a change that rolls, whatever the settings are; several are told,
// once they have lasted.
TEST_F(SettingsCompareTest, Epochs) {
  own_.epoch = 7;
  for (const auto epoch : {6U, 7U, 8U}) EXPECT_EQ(take("a", epoch, 5), std::nullopt);
  EXPECT_EQ(take("a", 5), std::nullopt);
  EXPECT_EQ(take("b", 9), std::nullopt);
  EXPECT_EQ(take("c", 9), std::nullopt);
  now_ += seconds(59);
  EXPECT_EQ(take("a", 5), std::nullopt);
  EXPECT_EQ(take("c", 8), std::nullopt);
  now_ += seconds(1);
  EXPECT_EQ(take("a", 5), SettingsDifference::kEpochs);
  EXPECT_EQ(take("a", 5), std::nullopt);
  EXPECT_EQ(take("b", 9), SettingsDifference::kEpochs);
  EXPECT_EQ(take("c", 9), std::nullopt);  // had caught up meanwhile
}

// So is one that has none where the other has one: after a start it has not read them yet.
TEST_F(SettingsCompareTest, NoEpoch) {
  own_.epoch = 7;
  EXPECT_EQ(take("a", 0), std::nullopt);
  now_ += seconds(60);
  EXPECT_EQ(take("a", 0), SettingsDifference::kNoEpoch);
  own_.epoch = 0;
  EXPECT_EQ(take("b", 7), std::nullopt);
  now_ += seconds(60);
  EXPECT_EQ(take("b", 7), SettingsDifference::kNoEpoch);
}

}  // namespace
}  // namespace oxbow::mirror

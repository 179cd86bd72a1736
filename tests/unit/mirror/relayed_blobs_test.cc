#include "mirror/relayed_blobs.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace oxbow::mirror {
namespace {

constexpr std::uint64_t kRoom = 4 * (RelayedBlobs::kBlobWeight + 100);

Digest blob(int number) { return Digest::sha256(fmt::format("blob {}", number)); }

class RelayedBlobsTest : public ::testing::Test {
 protected:
  bool add(int number, std::uint32_t stripes = 100) {
    return relayed_.add(blob(number), stripes, [this](const Digest& digest) {
      if (digest == kept_) return false;
      dropped_.push_back(digest);
      return true;
    });
  }

  RelayedBlobs relayed_{kRoom};
  Digest kept_ = blob(-1);
  std::vector<Digest> dropped_;
};

// The oldest makes room, one that is used does not, and what nothing makes room for is refused.
TEST_F(RelayedBlobsTest, BoundsWhatIsKeptForOthers) {
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(add(i));
  EXPECT_TRUE(dropped_.empty());
  auto first = relayed_.use(blob(0));
  kept_ = blob(1);
  EXPECT_TRUE(add(4));
  EXPECT_EQ(dropped_, std::vector{blob(2)});
  EXPECT_FALSE(add(5, 900));  // two are in use
  EXPECT_FALSE(add(5, static_cast<std::uint32_t>(kRoom)));
  first.reset();
  kept_ = blob(-1);
  EXPECT_TRUE(add(6, 1'000));
  EXPECT_FALSE(relayed_.is_idle(blob(0)));
  EXPECT_TRUE(relayed_.is_idle(blob(6)));
}

TEST_F(RelayedBlobsTest, KnowsWhetherARequestIsLeft) {
  ASSERT_TRUE(add(0));
  EXPECT_TRUE(relayed_.is_idle(blob(0)));
  auto one = relayed_.use(blob(0));
  auto two = relayed_.use(blob(0));
  one.reset();
  EXPECT_FALSE(relayed_.is_idle(blob(0)));
  two.reset();
  EXPECT_TRUE(relayed_.is_idle(blob(0)));
  EXPECT_TRUE(relayed_.remove(blob(0)));
  EXPECT_FALSE(relayed_.remove(blob(0)));
  EXPECT_FALSE(relayed_.is_idle(blob(0)));
  EXPECT_EQ(relayed_.use(blob(0)), nullptr);
}

}  // namespace
}  // namespace oxbow::mirror

#include "mirror/sim/s3_fifo_policy.h"

#include <gtest/gtest.h>

namespace oxbow::mirror {
namespace {

using p2p::sim::ItemId;

// What is asked for twice stays; what leaves unused is remembered, and returns to the main queue.
TEST(S3FifoPolicyTest, IsTheStoragesS3Fifo) {
  const auto policy = make_s3_fifo_policy();
  const auto any = [](ItemId) { return true; };
  for (ItemId item = 0; item < 4; ++item) {
    policy->insert(item);
    policy->resize(item, 100);
  }
  policy->hit(0);
  EXPECT_EQ(policy->victim(any), 1U);
  policy->evict(1);
  policy->insert(1);
  policy->resize(1, 100);
  EXPECT_EQ(policy->victim(any), 2U);
  policy->evict(2);
  EXPECT_EQ(policy->victim(any), 3U);
  policy->evict(3);
  EXPECT_EQ(policy->victim([](ItemId item) { return item == 1; }), 1U);
  EXPECT_EQ(policy->victim([](ItemId) { return false; }), std::nullopt);
}

}  // namespace
}  // namespace oxbow::mirror

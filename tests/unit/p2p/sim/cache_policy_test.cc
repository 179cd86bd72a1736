#include "p2p/sim/cache_policy.h"

#include <gtest/gtest.h>

#include <vector>

#include "p2p/sim/popularity.h"

namespace oxbow::p2p::sim {
namespace {

bool any(ItemId) { return true; }

TEST(CachePolicyTest, LruTakesWhatWasUsedLongestAgo) {
  const auto lru = make_lru();
  for (const ItemId item : {1U, 2U, 3U}) lru->insert(item);
  lru->hit(1);
  EXPECT_EQ(lru->victim(any), 2U);
  lru->evict(2);
  EXPECT_EQ(lru->victim([](ItemId item) { return item != 3; }), 1U);
  EXPECT_EQ(lru->victim([](ItemId) { return false; }), std::nullopt);
}

// The hand passes who was visited once, and goes on where it stood.
TEST(CachePolicyTest, SieveKeepsWhatWasVisitedInItsPlace) {
  const auto sieve = make_sieve();
  for (const ItemId item : {1U, 2U, 3U, 4U}) sieve->insert(item);
  sieve->hit(1);
  sieve->hit(2);
  EXPECT_EQ(sieve->victim(any), 3U);
  sieve->evict(3);
  sieve->insert(5);
  EXPECT_EQ(sieve->victim(any), 4U);
  sieve->evict(4);
  EXPECT_EQ(sieve->victim(any), 5U);
  sieve->evict(5);
  // Around: 1 and 2 have lost their bits.
  EXPECT_EQ(sieve->victim(any), 1U);
  EXPECT_EQ(sieve->victim([](ItemId) { return false; }), std::nullopt);
}

TEST(PopularityTest, DrawsByZipf) {
  const Popularity popularity(4, 1);
  EXPECT_NEAR(popularity.share(0), 0.48, 1e-8);
  EXPECT_NEAR(popularity.share(3), 0.12, 1e-8);
  Random random(1);
  std::vector<int> drawn(4);
  for (int i = 0; i < 10'000; ++i) ++drawn[popularity.draw(random)];
  EXPECT_EQ(drawn, (std::vector<int>{4955, 2372, 1491, 1182}));
}

}  // namespace
}  // namespace oxbow::p2p::sim

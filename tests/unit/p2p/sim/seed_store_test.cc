#include "p2p/sim/seed_store.h"

#include <gtest/gtest.h>

namespace oxbow::p2p::sim {
namespace {

TEST(SimSeedStore, EvictsTheLeastRecentlyUsed) {
  SeedStore store(70, 10, 3);
  for (const std::uint32_t key : {0U, 1U, 2U}) store.admit(69, key);
  store.touch(69, 0);
  store.admit(69, 3);
  EXPECT_TRUE(store.has(69, 0));
  EXPECT_FALSE(store.has(69, 1)) << "the oldest since 0 was used";
  EXPECT_TRUE(store.has(69, 2));
  EXPECT_TRUE(store.has(69, 3));
  EXPECT_EQ(store.evictions(), 1U);
  EXPECT_EQ(store.added(), 4U);
  for (const std::uint32_t key : {4U, 5U, 6U}) store.admit(69, key);
  EXPECT_EQ(store.copies(0) + store.copies(2) + store.copies(3), 0U);
}

TEST(SimSeedStore, PinsStayAndTakeNoRoom) {
  SeedStore store(4, 10, 1);
  store.pin(2, 7);
  store.touch(2, 7);
  store.admit(2, 1);
  store.admit(2, 3);
  EXPECT_TRUE(store.has(2, 7));
  EXPECT_FALSE(store.has(2, 1));
  EXPECT_TRUE(store.has(2, 3));
  EXPECT_EQ(store.copies(7), 1U);
}

TEST(SimSeedStore, NodesAndKeysAreApart) {
  SeedStore store(200, 3, 5);
  for (std::uint32_t node = 0; node < 200; node += 3) store.admit(node, 1);
  EXPECT_EQ(store.copies(1), 67U);
  EXPECT_EQ(store.copies(0) + store.copies(2), 0U);
  for (std::uint32_t node = 0; node < 200; ++node) EXPECT_EQ(store.has(node, 1), node % 3 == 0);
}

TEST(SimSeedStoreDeathTest, TwiceIsAFault) {
  SeedStore store(2, 2, 1);
  store.admit(0, 0);
  EXPECT_DEATH(store.admit(0, 0), "has");
}

}  // namespace
}  // namespace oxbow::p2p::sim

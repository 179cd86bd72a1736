#include "p2p/have_map.h"

#include <gtest/gtest.h>

#include <random>

namespace oxbow::p2p {
namespace {

// Every size around the borders of bytes and words comes back as it went, and counts are kept.
TEST(HaveMap, ComesBackFromItsWireForm) {
  std::mt19937 random(7);
  for (const std::uint32_t stripes : {0U, 1U, 7U, 8U, 9U, 63U, 64U, 65U, 255U, 2'048U, 4'099U, kMaxStripes}) {
    HaveMap map(stripes);
    std::uint32_t set = 0;
    for (std::uint32_t i = 0; i < stripes; ++i) {
      if (random() % 3 != 0) continue;
      map.set(i);
      map.set(i);
      ++set;
    }
    EXPECT_EQ(map.count(), set);
    const auto back = HaveMap::decode(map.encode(), stripes);
    ASSERT_TRUE(back) << stripes << ' ' << back.error().what();
    EXPECT_EQ(*back, map);
  }
}

// The simple maps are words, and equal to maps that were filled stripe by stripe.
TEST(HaveMap, AllAndNoneAreWords) {
  HaveMap filled(70);
  EXPECT_EQ(filled.encode(), "none");
  for (std::uint32_t i = 0; i < 70; ++i) filled.set(i);
  EXPECT_EQ(filled.encode(), "all");
  EXPECT_EQ(filled, HaveMap(70, true));
  filled.clear(69);
  filled.clear(69);
  EXPECT_EQ(filled.count(), 69U);
  EXPECT_FALSE(filled.has(69));
  EXPECT_FALSE(filled.has(70));
  EXPECT_EQ(HaveMap::decode("all", 70)->count(), 70U);
}

// What is too short, too long, no base64 or has bits after the last stripe is refused: a map is trusted by its size.
TEST(HaveMap, WrongFormsAreRefused) {
  EXPECT_EQ(HaveMap::decode("AA==", 9).error().code(), Errc::kInvalid);
  EXPECT_EQ(HaveMap::decode("AAAA", 9).error().code(), Errc::kInvalid);
  EXPECT_EQ(HaveMap::decode("A-!=", 9).error().code(), Errc::kInvalid);
  EXPECT_EQ(HaveMap::decode("AAI=", 9).error().code(), Errc::kInvalid);  // bit 9
  EXPECT_TRUE(HaveMap::decode("AAE=", 9));
  EXPECT_EQ(HaveMap::decode("all", kMaxStripes + 1).error().code(), Errc::kLimit);
}

// Slices are maps of their own; differences name each change once, in order.
TEST(HaveMap, SlicesAndChanges) {
  HaveMap map(200);
  map.set(100);
  map.set(199);
  const auto part = map.slice(100, 64);
  EXPECT_EQ(part.size(), 64U);
  EXPECT_TRUE(part.has(0));
  EXPECT_EQ(part.count(), 1U);
  EXPECT_EQ(map.slice(190, 64).size(), 10U);
  EXPECT_EQ(map.slice(200, 64).size(), 0U);

  auto after = map;
  after.set(3);
  after.set(64);
  after.clear(100);
  std::vector<std::uint32_t> came;
  std::vector<std::uint32_t> went;
  after.changes_since(map, came, went);
  EXPECT_EQ(came, (std::vector<std::uint32_t>{3, 64}));
  EXPECT_EQ(went, (std::vector<std::uint32_t>{100}));
}

}  // namespace
}  // namespace oxbow::p2p

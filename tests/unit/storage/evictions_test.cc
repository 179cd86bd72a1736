// What would be evicted next, against what then is.
#include <algorithm>

#include "support.h"

namespace oxbow::storage {
namespace {

class EvictionsTest : public BudgetTest {
 protected:
  /// Returns when the blob may go: a stripe is there a moment before the store's accounts have it and its write ends.
  void write(std::uint64_t seed, std::uint64_t bytes = kMiB) {
    BudgetTest::write(seed, bytes);
    ASSERT_TRUE(wait_for([&] {
      const auto order = store().evictions(1000);
      return std::ranges::find(order, digest_of(seed), &Eviction::digest) != order.end();
    }));
  }
};

// Proves: what somebody reads is foretold last, as it goes.
TEST_F(EvictionsTest, WhatIsReadIsForetoldLast) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) write(seed);
  const auto reading = store().peek(digest_of(1))->on_progress([] {});
  const auto next = store().evictions(10);
  ASSERT_EQ(next.size(), 3U);
  EXPECT_EQ(next[0].digest, digest_of(2));
  EXPECT_EQ(next[2].digest, digest_of(1));
}

// Proves: each time room is needed, the blob that was foretold goes, through both queues and past used ones.
TEST_F(EvictionsTest, WhatIsForetoldGoes) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) write(seed);
  for (const std::uint64_t seed : {2, 3, 7}) use(seed);
  for (std::uint64_t seed = 100; seed < 130; ++seed) {
    const auto next = store().evictions(1);
    ASSERT_EQ(next.size(), 1U);
    EXPECT_EQ(next.front().bytes, kMiB);
    ASSERT_TRUE(store().peek(next.front().digest));
    write(seed);
    EXPECT_FALSE(store().peek(next.front().digest)) << seed;
    if (seed % 3 == 0) use(seed);
  }
}

// Proves: the whole order names each blob once and asking changes nothing; pins and what is read are left out.
TEST_F(EvictionsTest, TheOrderLeavesOutWhatStays) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 6; ++seed) write(seed);
  store().pin(digest_of(3), true);
  const auto read = store().peek(digest_of(4))->acquire({0, 1000});
  ASSERT_TRUE(read);
  std::vector<Digest> order;
  for (const auto& eviction : store().evictions(100)) order.push_back(eviction.digest);
  EXPECT_EQ(order, (std::vector{digest_of(1), digest_of(2), digest_of(5), digest_of(6)}));
  EXPECT_EQ(store().evictions(2).size(), 2U);
  EXPECT_EQ(store().evictions(100).size(), 4U);
  EXPECT_TRUE(store().evictions(0).empty());
}

// Proves: a blob that is kept by span is named once with all that can go of it.
TEST_F(EvictionsTest, AGiantIsNamedOnce) {
  open(32 * kMiB);
  write(1, 24 * kMiB);
  write(2);
  const auto order = store().evictions(10);
  ASSERT_EQ(order.size(), 2U);
  EXPECT_EQ(order[0].digest, digest_of(1));
  EXPECT_EQ(order[0].bytes, 24 * kMiB);
  EXPECT_EQ(order[1].bytes, kMiB);
}

// Proves: a scrub tells how far it is, and ends when it is told to.
TEST_F(EvictionsTest, AScrubCanBeEnded) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) write(seed);
  EXPECT_EQ(store().scrub().bytes, 4 * kMiB);
  std::vector<std::uint64_t> seen;
  const auto report = store().scrub([&](const ScrubReport& so_far) {
    seen.push_back(so_far.stripes);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_EQ(report.stripes, 3U);
}

}  // namespace
}  // namespace oxbow::storage

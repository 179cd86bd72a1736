// Budget, floor, eviction, pins.
#include <sys/stat.h>

#include "support.h"

namespace oxbow::storage {
namespace {

class SpaceTest : public BudgetTest {
 protected:
  bool has(std::uint64_t seed) {
    for (const auto& listing : store().list()) {
      if (listing.digest == digest_of(seed) && listing.stored_bytes > 0) return true;
    }
    return false;
  }
  std::uint64_t blocks_bytes() const {
    std::uint64_t total = 0;
    for (const auto& file : fixture_.dir.blob_files()) {
      struct stat info{};
      if (::stat(file.c_str(), &info) == 0) total += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
    return total;
  }
};

// The budget holds: the oldest unused blob goes, its file too, and the metric counts it.
TEST_F(SpaceTest, TheOldestUnusedBlobGoes) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 12; ++seed) write(seed, kMiB);
  EXPECT_FALSE(has(1));
  EXPECT_FALSE(has(2));
  EXPECT_TRUE(has(3));
  EXPECT_TRUE(has(12));
  EXPECT_LE(store().usage().stored_bytes, 10 * kMiB);
  EXPECT_EQ(fixture_.metric("oxbow_storage_evicted_bytes_total"), 2.0 * kMiB);
  EXPECT_TRUE(wait_for([&] { return fixture_.dir.blob_files().size() == 10; }));
}

// What somebody reads goes last, and goes when nothing else can.
TEST_F(SpaceTest, WhatIsReadGoesLast) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) write(seed, kMiB);
  const auto read = store().peek(digest_of(1));
  const auto reading = read->on_progress([] {});
  write(11, kMiB);
  EXPECT_TRUE(has(1));
  EXPECT_FALSE(has(2));
  EXPECT_FALSE(read->gone());
  write(12, 10 * kMiB);
  EXPECT_FALSE(has(1));
  EXPECT_TRUE(read->gone());
  EXPECT_TRUE(has(12));
}

// What was used again survives a scan of blobs that are used once.
TEST_F(SpaceTest, AScanLeavesWhatIsUsedAlone) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) write(seed, kMiB);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) use(seed);
  for (std::uint64_t seed = 100; seed < 140; ++seed) write(seed, kMiB);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) EXPECT_TRUE(has(seed)) << seed;
  EXPECT_FALSE(has(100));
}

// Readers are safe from eviction: a pinned range stays readable, and its blob is no victim.
TEST_F(SpaceTest, APinnedRangeIsNoVictim) {
  open(10 * kMiB);
  write(1, kMiB);
  auto blob = store().lookup(digest_of(1));
  auto range = blob->acquire({0, 1000});
  ASSERT_TRUE(range);
  for (std::uint64_t seed = 2; seed <= 20; ++seed) write(seed, kMiB);
  EXPECT_TRUE(has(1));
  range->pin.reset();
  for (std::uint64_t seed = 21; seed <= 40; ++seed) write(seed, kMiB);
  EXPECT_FALSE(has(1));
  EXPECT_TRUE(blob->gone());
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), pattern(kMiB, 1));
}

// Operator pins are outside the budget, are never evicted, and outlive a restart.
TEST_F(SpaceTest, OperatorPinsAreOutsideTheBudget) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) write(seed, kMiB);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) store().pin(digest_of(seed), true);
  for (std::uint64_t seed = 10; seed < 30; ++seed) write(seed, kMiB);
  EXPECT_EQ(store().usage().pinned_bytes, 4 * kMiB);
  EXPECT_EQ(store().usage().stored_bytes, 14 * kMiB);
  fixture_.reopen();
  EXPECT_EQ(store().usage().pinned_bytes, 4 * kMiB);
  for (std::uint64_t seed = 30; seed < 50; ++seed) write(seed, kMiB);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) EXPECT_TRUE(has(seed));
  store().pin(digest_of(1), false);
  EXPECT_EQ(store().usage().pinned_bytes, 3 * kMiB);
  for (std::uint64_t seed = 50; seed < 70; ++seed) write(seed, kMiB);
  EXPECT_LE(store().usage().stored_bytes - store().usage().pinned_bytes, 10 * kMiB);
}

// A budget that shrank while the store was closed is kept soon after it opens.
TEST_F(SpaceTest, AShrunkBudgetIsKeptAfterReopening) {
  open(10 * kMiB);
  for (std::uint64_t seed = 1; seed <= 8; ++seed) write(seed, kMiB);
  fixture_.close();
  open(3 * kMiB);
  EXPECT_TRUE(wait_for([&] { return store().usage().stored_bytes <= 3 * kMiB; }));
  EXPECT_GE(store().usage().stored_bytes, 2 * kMiB);
}

// A blob larger than an eighth of the budget goes by span: the oldest spans are punched out, the blob and its file
// stay.
TEST_F(SpaceTest, AGiantBlobGoesBySpan) {
  open(20 * kMiB);
  const auto content = pattern(18 * kMiB, 1);  // 36 stripes, 5 spans of 4 MiB
  ASSERT_TRUE(write_blob(store(), digest_of(1), content));
  const auto blob = store().lookup(digest_of(1));
  write(2, kMiB);
  write(3, kMiB);
  EXPECT_EQ(blob->stripes_present(), 36U);
  write(4, kMiB);
  EXPECT_EQ(blob->stripes_present(), 28U);
  EXPECT_FALSE(blob->has(0));
  EXPECT_TRUE(blob->has(8));
  EXPECT_FALSE(blob->gone());
  EXPECT_TRUE(wait_for([&] { return fixture_.faults->punches == 1; }));
  EXPECT_TRUE(wait_for([&] { return blocks_bytes() <= 17 * kMiB + 64 * 1024; }));
  EXPECT_EQ(read_range(*blob, {4 * kMiB, 18 * kMiB}).value(), std::vector(content.begin() + 4 * kMiB, content.end()));
  ASSERT_TRUE(wait_for([&] { return static_cast<bool>(write_stripe(*blob, 0, content)); }));
}

// No hole is punched under a pinned range: the next span goes instead.
TEST_F(SpaceTest, NoHoleUnderAPinnedRange) {
  open(20 * kMiB);
  const auto content = pattern(18 * kMiB, 1);
  ASSERT_TRUE(write_blob(store(), digest_of(1), content));
  const auto blob = store().lookup(digest_of(1));
  const auto range = blob->acquire({100, 200});
  ASSERT_TRUE(range);
  for (std::uint64_t seed = 2; seed <= 4; ++seed) write(seed, kMiB);
  EXPECT_TRUE(blob->has(0));
  EXPECT_FALSE(blob->has(8));
}

// The ring says which spans of a giant this node should keep.
TEST_F(SpaceTest, TheRankDecidesWhichSpanGoes) {
  open(20 * kMiB);
  store().set_span_rank([](const Digest&, std::uint32_t span) { return span == 3 ? 0.0 : 1.0; });
  ASSERT_TRUE(write_blob(store(), digest_of(1), pattern(18 * kMiB, 1)));
  for (std::uint64_t seed = 2; seed <= 4; ++seed) write(seed, kMiB);
  const auto blob = store().lookup(digest_of(1));
  EXPECT_TRUE(blob->has(0));
  EXPECT_FALSE(blob->has(24));
}

// A model in several files: room is made by the span that this node needs least, whichever file it is of.
TEST_F(SpaceTest, GiantsLoseSpansOfAllOfThem) {
  open(40 * kMiB);
  // 9 MiB: 18 stripes, 3 spans of 4 MiB (the last of 1 MiB).
  store().set_span_rank([](const Digest& digest, std::uint32_t span) {
    return digest == digest_of(2) ? (span == 1 ? 0.0 : 1.0) : (digest == digest_of(3) && span == 0 ? 0.5 : 2.0);
  });
  for (std::uint64_t seed = 1; seed <= 4; ++seed) write(seed, 9 * kMiB);
  const auto next = store().evictions(10);
  ASSERT_EQ(next.size(), 4U);
  EXPECT_EQ(next[0].digest, digest_of(2));
  EXPECT_EQ(next[1].digest, digest_of(3));
  write(5, 9 * kMiB);
  EXPECT_FALSE(store().lookup(digest_of(2))->has(8));
  EXPECT_TRUE(store().lookup(digest_of(2))->has(0));
  EXPECT_FALSE(store().lookup(digest_of(3))->has(0));
  EXPECT_TRUE(store().lookup(digest_of(3))->has(8));
  for (const std::uint64_t seed : {1, 4, 5}) EXPECT_EQ(store().lookup(digest_of(seed))->stripes_present(), 18U) << seed;
  // What nobody needs any more is forgotten, and its place is free.
  store().purge(digest_of(3));
  EXPECT_LE(store().usage().stored_bytes, 40 * kMiB - 5 * kMiB);
}

// Another order of the ring is another order of going, within the minute for which ranks hold.
TEST_F(SpaceTest, NewRanksAreTakenAtOnce) {
  open(40 * kMiB);
  const auto lose = [this](std::uint64_t which) {
    store().set_span_rank(
        [which](const Digest& digest, std::uint32_t) { return digest == digest_of(which) ? 0.0 : 1.0; });
  };
  lose(2);
  for (std::uint64_t seed = 1; seed <= 4; ++seed) write(seed, 9 * kMiB);
  write(5, 5 * kMiB);
  EXPECT_EQ(store().lookup(digest_of(2))->stripes_present(), 10U);
  lose(3);
  write(6, 4 * kMiB);
  EXPECT_EQ(store().lookup(digest_of(2))->stripes_present(), 10U);
  EXPECT_EQ(store().lookup(digest_of(3))->stripes_present(), 10U);
}

// A blob larger than the budget is kept by span when a reader's window fits twice, and the budget holds while it
// streams.
TEST_F(SpaceTest, ABlobLargerThanTheBudgetStreamsThroughIt) {
  open(70 * kMiB);
  const auto content = pattern(100 * kMiB, 1);
  const auto blob = store().reserve(digest_of(1), content.size()).value();
  for (std::uint32_t stripe = 0; stripe < blob->geometry().stripes(); ++stripe) {
    ASSERT_TRUE(write_stripe(*blob, stripe, content));
    EXPECT_LE(store().usage().stored_bytes, 70 * kMiB);
  }
  EXPECT_FALSE(blob->has(0));
  EXPECT_TRUE(blob->has(199));
  EXPECT_EQ(read_range(*blob, {60 * kMiB, 100 * kMiB}).value(),
            std::vector(content.begin() + 60 * kMiB, content.end()));
}

// While somebody waits on it, what he does not need next goes first, however new it is; what he needs stays.
TEST_F(SpaceTest, WhatReadersNeedNextGoesLast) {
  open(70 * kMiB);
  const auto content = pattern(100 * kMiB, 1);
  const auto blob = store().reserve(digest_of(1), content.size()).value();
  const auto waiting = blob->on_progress([] {});
  const auto put = [&](std::uint32_t begin, std::uint32_t end) {
    for (auto stripe = begin; stripe < end; ++stripe) ASSERT_TRUE(write_stripe(*blob, stripe, content));
  };
  put(64, 128);
  put(0, 16);
  const auto bytes = blob->geometry().stripe_bytes();
  blob->keep({{64 * bytes, 200 * bytes}, {16 * bytes, 32 * bytes}, {8 * bytes, 20 * bytes}});
  put(128, 192);
  EXPECT_FALSE(blob->has(0));
  for (std::uint32_t stripe = 8; stripe < 16; ++stripe) EXPECT_TRUE(blob->has(stripe)) << stripe;
  EXPECT_LE(store().usage().stored_bytes, 70 * kMiB);
}

// One for which not even that fits is refused: the caller uses a window in memory.
TEST_F(SpaceTest, ABlobThatCannotBeKeptIsRefused) {
  open(10 * kMiB);
  EXPECT_EQ(store().reserve(digest_of(1), 11 * kMiB).error().code(), Errc::kNoSpace);
  EXPECT_EQ(fixture_.metric("oxbow_limit_hits_total{limit=\"storage.budget\"}"), 1);
  EXPECT_EQ(store().list().size(), 0U);
}

// The floor of free space is not crossed, whatever the budget says, and eviction makes room above it.
TEST_F(SpaceTest, TheFloorIsNotCrossed) {
  fixture_.faults->space = DiskSpace{.total_bytes = 1000 * kMiB, .free_bytes = 105 * kMiB};
  fixture_.config.floor_bytes = 100 * kMiB;
  open(500 * kMiB);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) write(seed, kMiB);
  EXPECT_EQ(store().usage().stored_bytes, 5 * kMiB);
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->space->free_bytes = 100 * kMiB;  // what has been written shows
  }
  write(6, kMiB);
  EXPECT_TRUE(has(6));
  EXPECT_FALSE(has(1));
  EXPECT_EQ(store().reserve(digest_of(7), 50 * kMiB).error().code(), Errc::kNoSpace);
  EXPECT_GE(fixture_.metric("oxbow_limit_hits_total{limit=\"storage.floor\"}"), 1);
}

// Percentages are of the file system.
TEST_F(SpaceTest, PercentagesAreOfTheFileSystem) {
  fixture_.faults->space = DiskSpace{.total_bytes = 1000 * kMiB, .free_bytes = 900 * kMiB};
  fixture_.config.budget_bytes.reset();
  fixture_.config.floor_bytes.reset();
  ASSERT_TRUE(fixture_.open());
  EXPECT_EQ(store().usage().budget_bytes, 100 * kMiB);
  EXPECT_EQ(store().usage().floor_bytes, 50 * kMiB);
}

// Stripes in flight count: two writers cannot both be promised the last bytes of the budget.
TEST_F(SpaceTest, BytesInFlightCount) {
  open(2 * kMiB);
  const auto first = store().reserve(digest_of(1), 2 * kMiB).value();
  std::vector<std::unique_ptr<StripeWriter>> writers;
  for (std::uint32_t stripe = 0; stripe < 4; ++stripe) writers.push_back(first->begin_stripe(stripe).value());
  const auto second = store().reserve(digest_of(2), kMiB).value();
  EXPECT_EQ(second->begin_stripe(0).error().code(), Errc::kNoSpace);
  writers.clear();
  EXPECT_TRUE(second->begin_stripe(0));
}

}  // namespace
}  // namespace oxbow::storage

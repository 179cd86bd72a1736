// A disk that fails while the store runs.
#include "support.h"

namespace oxbow::storage {
namespace {

class FaultTest : public ::testing::TestWithParam<IoEngineKind> {
 protected:
  void SetUp() override { ASSERT_TRUE(fixture_.open()); }
  Store& store() { return *fixture_.store; }
  StoreFixture fixture_{GetParam()};
  std::vector<std::byte> content_ = pattern(3 * kMiB, 1);
};

// A full disk in the middle of a stripe: the writer hears why, what is stored is still served, and when the disk has
// space again the stripe goes on where it stopped.
TEST_P(FaultTest, AFullDiskStopsWritersAndPasses) {
  const auto blob = store().reserve(digest_of(1), content_.size()).value();
  ASSERT_TRUE(write_stripe(*blob, 0, content_));
  auto writer = blob->begin_stripe(1).value();
  ASSERT_TRUE(writer->write(std::span(content_).subspan(kMinStripeBytes, 1000)));
  ASSERT_TRUE(wait_for([&] { return blob->readable(kMinStripeBytes, 5000) == 1000; }));
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->probe_fails = true;
  }
  fixture_.faults->fail_next_write(ENOSPC);
  std::atomic<bool> woken = false;
  const auto subscription = blob->on_progress([&] { woken = true; });
  ASSERT_TRUE(writer->write(std::span(content_).subspan(kMinStripeBytes + 1000, 1000)));
  ASSERT_TRUE(wait_for([&] { return writer->error().has_value(); }));
  EXPECT_EQ(writer->error()->code(), Errc::kNoSpace);
  EXPECT_FALSE(writer->write(std::span(content_).subspan(kMinStripeBytes + 1000, 1000)));
  EXPECT_TRUE(wait_for([&] { return woken.load(); }));
  EXPECT_FALSE(store().usage().writable);
  EXPECT_EQ(store().reserve(digest_of(2), 1000).error().code(), Errc::kNoSpace);
  EXPECT_EQ(blob->begin_stripe(2).error().code(), Errc::kNoSpace);
  EXPECT_EQ(fixture_.metric("oxbow_storage_writable"), 0);
  EXPECT_EQ(fixture_.metric("oxbow_storage_errors_total{op=\"write\"}") >= 1, true);
  EXPECT_TRUE(read_range(*blob, {0, kMinStripeBytes}));
  writer.reset();
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->probe_fails = false;
  }
  ASSERT_TRUE(wait_for([&] { return store().usage().writable; }));
  for (std::uint32_t stripe = 0; stripe < 6; ++stripe) ASSERT_TRUE(write_stripe(*blob, stripe, content_));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
}

// A failed write is kIo, and the store tries again by itself.
TEST_P(FaultTest, AWriteErrorPasses) {
  const auto blob = store().reserve(digest_of(1), content_.size()).value();
  fixture_.faults->fail_next_write(EIO);
  EXPECT_FALSE(write_stripe(*blob, 0, content_));
  ASSERT_TRUE(wait_for([&] { return store().usage().writable; }));
  ASSERT_TRUE(write_stripe(*blob, 0, content_));
  EXPECT_EQ(read_range(*blob, {0, kMinStripeBytes}).value(),
            std::vector(content_.begin(), content_.begin() + kMinStripeBytes));
}

// A file that cannot be created is the writer's error.
TEST_P(FaultTest, ACreateErrorIsToldToTheWriter) {
  const auto blob = store().reserve(digest_of(1), content_.size()).value();
  fixture_.faults->fail_next_open(ENOSPC);
  {
    // In one piece: a second one may open the file at the same time, and succeed.
    const auto writer = blob->begin_stripe(0).value();
    ASSERT_TRUE(writer->write(std::span(content_).first(writer->stripe().size())));
    ASSERT_TRUE(wait_for([&] { return writer->error().has_value(); }));
  }
  EXPECT_FALSE(blob->has(0));
  ASSERT_TRUE(wait_for([&] { return store().usage().writable; }));
  ASSERT_TRUE(write_stripe(*blob, 0, content_));
}

// A stripe that cannot be read is dropped, so that it is fetched again instead of failing for ever.
TEST_P(FaultTest, AReadErrorDropsTheStripe) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  fixture_.faults->fail_next_read(EIO);
  EXPECT_EQ(prepare(*blob, {0, 100}).error().code(), Errc::kIo);
  EXPECT_FALSE(blob->has(0));
  EXPECT_EQ(fixture_.metric("oxbow_storage_errors_total{op=\"read\"}"), 1);
  EXPECT_EQ(fixture_.metric("oxbow_verify_failures_total{source=\"storage\"}"), 0);
  ASSERT_TRUE(write_stripe(*blob, 0, content_));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
}

// A store that opens on a full or read-only disk serves what it has and takes writes once a probe succeeds.
TEST_P(FaultTest, AReadOnlyDiskAtStartServesAndRecovers) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->probe_fails = true;
  }
  fixture_.reopen();
  EXPECT_FALSE(store().usage().writable);
  EXPECT_EQ(read_range(*store().lookup(digest_of(1)), {0, content_.size()}).value(), content_);
  EXPECT_EQ(store().reserve(digest_of(2), 1000).error().code(), Errc::kNoSpace);
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->probe_fails = false;
  }
  ASSERT_TRUE(wait_for([&] { return store().usage().writable; }));
  ASSERT_TRUE(write_blob(store(), digest_of(2), content_));
}

INSTANTIATE_TEST_SUITE_P(Engines, FaultTest, ::testing::Values(IoEngineKind::kThreads, IoEngineKind::kUring),
                         [](const auto& info) { return info.param == IoEngineKind::kUring ? "uring" : "threads"; });

}  // namespace
}  // namespace oxbow::storage

// Writing, reading and keeping one blob, on both engines.
#include <unistd.h>

#include <thread>

#include "support.h"

namespace oxbow::storage {
namespace {

class BlobTest : public ::testing::TestWithParam<IoEngineKind> {
 protected:
  void SetUp() override {
    const auto opened = fixture_.open();
    ASSERT_TRUE(opened) << opened.error().what();
  }
  Store& store() { return *fixture_.store; }
  std::shared_ptr<Blob> reserve(std::uint64_t size) {
    auto blob = store().reserve(digest_of(1), size);
    EXPECT_TRUE(blob) << blob.error().what();
    return *blob;
  }

  StoreFixture fixture_{GetParam()};
};

// What is written stripe by stripe, in any order, reads back the same, and survives a restart with its state and
// midstates.
TEST_P(BlobTest, WrittenStripesReadBackAlsoAfterARestart) {
  const auto content = pattern(3 * kMiB + 12'345, 1);
  {
    const auto blob = reserve(content.size());
    for (const std::uint32_t stripe : {6U, 0U, 3U, 1U, 5U, 4U, 2U}) ASSERT_TRUE(write_stripe(*blob, stripe, content));
    EXPECT_TRUE(blob->complete());
    EXPECT_EQ(blob->stripe_checksum(2), checksum(std::span(content).subspan(2 * kMinStripeBytes, kMinStripeBytes)));
    blob->add_midstate(1, std::string(32, 'a'));
    blob->add_midstate(2, std::string(32, 'b'));
    blob->set_verified();
    EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
  }
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  ASSERT_TRUE(blob);
  EXPECT_TRUE(blob->complete());
  EXPECT_EQ(blob->state(), BlobState::kVerified);
  EXPECT_EQ(blob->midstates(), (std::vector<std::string>{std::string(32, 'a'), std::string(32, 'b')}));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
  EXPECT_EQ(store().usage().stored_bytes, content.size());
}

// A reader follows a stripe that is still arriving: bytes are readable as soon as they are in the file, and not before.
TEST_P(BlobTest, BytesAreReadableBehindTheWatermark) {
  const auto content = pattern(kMiB + 5, 2);
  const auto blob = reserve(content.size());
  auto writer = blob->begin_stripe(0);
  ASSERT_TRUE(writer);
  fixture_.faults->hold();
  ASSERT_TRUE((*writer)->write(std::span(content).first(1000)));
  EXPECT_EQ(blob->readable(0, 5000), 0U);
  EXPECT_FALSE(blob->acquire({0, 1000}));
  fixture_.faults->let_go();
  ASSERT_TRUE(wait_for([&] { return blob->readable(0, 5000) == 1000; }));
  EXPECT_EQ(blob->readable(400, 5000), 600U);
  EXPECT_EQ(blob->readable(1000, 5000), 0U);
  EXPECT_EQ(read_range(*blob, {0, 1000}).value(), std::vector(content.begin(), content.begin() + 1000));
  EXPECT_FALSE(blob->has(0));
}

// A range that ends in a stripe that is arriving becomes ready once the stripes before it are: who was told to wait and
// asks again is not told so for ever.
TEST_P(BlobTest, ARangeThatEndsInAnArrivingStripeBecomesReady) {
  const auto content = pattern(4 * kMiB, 21);
  const auto blob = reserve(content.size());
  ASSERT_TRUE(write_stripe(*blob, 0, content));
  auto writer = blob->begin_stripe(1);
  ASSERT_TRUE(writer);
  const auto begin = (*writer)->stripe().begin;
  ASSERT_TRUE((*writer)->write(std::span(content).subspan(begin, 1000)));
  ASSERT_TRUE(wait_for([&] { return blob->readable(begin, 1000) == 1000; }));
  const ByteRange across{begin - 100'000, begin + 1000};
  ASSERT_TRUE(prepare(*blob, across));
  EXPECT_TRUE(blob->prepare(across, [](Result<>) {}));
  EXPECT_TRUE(read_range(*blob, across));
}

// Bytes may be gathered: they go into the file with the next write that is not to wait, at a flush, with the stripe's
// last byte, and when the writer ends.
TEST_P(BlobTest, BytesThatMayWaitAreWrittenTogether) {
  const auto content = pattern(2 * kMinStripeBytes, 22);
  const auto blob = reserve(content.size());
  const auto piece = [&](std::size_t at, std::size_t count) { return std::span(content).subspan(at, count); };
  const auto landed = [&](std::uint64_t bytes) {
    return wait_for([&] { return blob->readable(0, content.size()) == bytes; });
  };
  auto writer = blob->begin_stripe(0);
  ASSERT_TRUE(writer);
  const auto before = fixture_.faults->writes.load();
  ASSERT_TRUE((*writer)->write(piece(0, 1000), WriteWhen::kLater));
  ASSERT_TRUE((*writer)->write(piece(1000, 1000), WriteWhen::kLater));
  EXPECT_EQ(fixture_.faults->writes.load(), before);
  ASSERT_TRUE((*writer)->write(piece(2000, 1000)));
  ASSERT_TRUE(landed(3000));
  EXPECT_EQ(fixture_.faults->writes.load(), before + 1);
  ASSERT_TRUE((*writer)->write(piece(3000, 1000), WriteWhen::kLater));
  (*writer)->flush();
  ASSERT_TRUE(landed(4000));
  ASSERT_TRUE((*writer)->write(piece(4000, 1000), WriteWhen::kLater));
  writer->reset();
  ASSERT_TRUE(landed(5000));
  auto second = blob->begin_stripe(0);
  ASSERT_TRUE(second);
  ASSERT_TRUE((*second)->write(piece(5000, kMinStripeBytes - 5000), WriteWhen::kLater));
  ASSERT_TRUE(wait_for([&] { return blob->has(0); }));
  EXPECT_EQ(blob->stripe_checksum(0), checksum(piece(0, kMinStripeBytes)));
}

// A stripe has one writer; the next one goes on where the first stopped, and the checksum is that of the whole stripe.
TEST_P(BlobTest, AHalfWrittenStripeIsResumed) {
  const auto content = pattern(700'000, 3);
  const auto blob = reserve(content.size());
  {
    auto first = blob->begin_stripe(0);
    ASSERT_TRUE(first);
    EXPECT_EQ(blob->begin_stripe(0).error().code(), Errc::kBusy);
    ASSERT_TRUE((*first)->write(std::span(content).first(300'001)));
  }
  auto second = blob->begin_stripe(0);
  ASSERT_TRUE(second);
  EXPECT_EQ((*second)->position(), 300'001U);
  ASSERT_TRUE((*second)->write(std::span(content).subspan(300'001)));
  ASSERT_TRUE(wait_for([&] { return blob->has(0); }));
  EXPECT_EQ(blob->stripe_checksum(0), checksum(content));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
  EXPECT_EQ(blob->begin_stripe(0).error().code(), Errc::kCancelled);
}

// Or nothing of it is kept: it can't be read any more, its room is free, and the next writer begins at the begin, once
// what was on its way has landed.
TEST_P(BlobTest, AnUnfinishedStripeIsDiscarded) {
  const auto content = pattern(700'000, 3);
  const auto other = pattern(700'000, 4);
  const auto blob = reserve(content.size());
  auto first = blob->begin_stripe(0);
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->write(std::span(other).first(1000)));
  ASSERT_TRUE(wait_for([&] { return blob->readable(0, 5000) == 1000; }));
  fixture_.faults->hold();
  ASSERT_TRUE((*first)->write(std::span(other).subspan(1000, 1000)));
  (*first)->discard();
  EXPECT_FALSE((*first)->write(std::span(other).subspan(2000, 1000)));
  EXPECT_EQ(blob->readable(0, 5000), 0U);
  EXPECT_FALSE(blob->acquire({0, 1000}));
  first->reset();
  EXPECT_EQ(blob->begin_stripe(0).error().code(), Errc::kBusy);
  fixture_.faults->let_go();
  std::unique_ptr<StripeWriter> second;
  ASSERT_TRUE(wait_for([&] {
    if (auto writer = blob->begin_stripe(0)) second = std::move(*writer);
    return second != nullptr;
  }));
  EXPECT_EQ(store().usage().stored_bytes, 0U);
  EXPECT_EQ(second->position(), 0U);
  ASSERT_TRUE(second->write(content));
  ASSERT_TRUE(wait_for([&] { return blob->has(0); }));
  EXPECT_EQ(blob->stripe_checksum(0), checksum(content));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
}

// A writer may live longer than its stripe, which has another writer by then.
TEST_P(BlobTest, AnOldWriterTakesNothingFromTheNext) {
  const auto content = pattern(700'000, 3);
  const auto blob = reserve(content.size());
  auto first = blob->begin_stripe(0);
  ASSERT_TRUE(first);
  EXPECT_FALSE((*first)->committed());
  ASSERT_TRUE((*first)->write(content));
  ASSERT_TRUE(wait_for([&] { return (*first)->committed(); }));
  EXPECT_TRUE(blob->has(0));
  blob->drop_stripe(0);
  EXPECT_TRUE((*first)->committed());
  auto second = blob->begin_stripe(0);
  ASSERT_TRUE(second);
  first->reset();
  EXPECT_EQ(blob->begin_stripe(0).error().code(), Errc::kBusy);
}

// An unfinished part counts as stored while it is kept, and a restart forgets it: nothing unchecked is ever believed.
TEST_P(BlobTest, AnUnfinishedStripeIsForgottenByARestart) {
  const auto content = pattern(700'000, 3);
  {
    const auto blob = reserve(content.size());
    auto writer = blob->begin_stripe(0);
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write(std::span(content).first(300'000)));
    ASSERT_TRUE(wait_for([&] { return blob->readable(0, 700'000) == 300'000; }));
    writer->reset();
    EXPECT_TRUE(wait_for([&] { return store().usage().stored_bytes == 300'000; }));
  }
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  ASSERT_TRUE(blob);
  EXPECT_EQ(blob->readable(0, 700'000), 0U);
  EXPECT_EQ(store().usage().stored_bytes, 0U);
  ASSERT_TRUE(write_stripe(*blob, 0, content));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
}

// Short writes are completed, and the checksum counts every byte once.
TEST_P(BlobTest, ShortWritesAreCompleted) {
  const auto content = pattern(300'000, 4);
  const auto blob = reserve(content.size());
  {
    const std::lock_guard lock(fixture_.faults->mutex);
    fixture_.faults->short_writes = {1, 4095, 17};
  }
  ASSERT_TRUE(write_stripe(*blob, 0, content));
  EXPECT_EQ(blob->stripe_checksum(0), checksum(content));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
}

// The empty blob is complete from the start.
TEST_P(BlobTest, TheEmptyBlobIsComplete) {
  const auto blob = reserve(0);
  EXPECT_TRUE(blob->complete());
  EXPECT_EQ(blob->readable(0, 100), 0U);
}

// A size that differs from the stored one is refused: geometry is a function of the size.
TEST_P(BlobTest, AnotherSizeIsRefused) {
  const auto blob = reserve(1000);
  EXPECT_EQ(store().reserve(digest_of(1), 1001).error().code(), Errc::kInvalid);
}

// Subscribers hear of bytes, commits and the purge; a destroyed subscription is silent.
TEST_P(BlobTest, SubscribersAreWokenUntilTheyGo) {
  const auto content = pattern(1000, 5);
  const auto blob = reserve(content.size());
  std::atomic<int> woken = 0;
  auto subscription = blob->on_progress([&] { ++woken; });
  ASSERT_TRUE(write_stripe(*blob, 0, content));
  EXPECT_TRUE(wait_for([&] { return woken > 0; }));
  subscription.reset();
  const int before = woken;
  store().purge(digest_of(1));
  EXPECT_TRUE(blob->gone());
  fixture_.close();
  EXPECT_EQ(woken, before);
}

// A purged blob stays readable for those who hold it, has no row and no file afterwards, and can be stored anew at
// once.
TEST_P(BlobTest, PurgeForgetsAndLeavesReadersAlone) {
  const auto content = pattern(600'000, 6);
  const auto old_blob = reserve(content.size());
  ASSERT_TRUE(write_stripe(*old_blob, 0, content));
  store().purge(digest_of(1));
  EXPECT_TRUE(old_blob->gone());
  EXPECT_EQ(store().lookup(digest_of(1)), nullptr);
  EXPECT_EQ(old_blob->begin_stripe(0).error().code(), Errc::kNotFound);
  const auto other = pattern(500'000, 7);
  ASSERT_TRUE(write_blob(store(), digest_of(1), other));
  ASSERT_TRUE(wait_for([&] { return fixture_.faults->removes > 0 && fixture_.dir.blob_files().size() == 1; }));
  EXPECT_EQ(read_range(*old_blob, whole(*old_blob)).value(), content);
  EXPECT_EQ(read_range(*store().lookup(digest_of(1)), {0, other.size()}).value(), other);
  EXPECT_EQ(store().usage().stored_bytes, other.size());
}

// A writer of a purged blob is told so.
TEST_P(BlobTest, AWriterOfAPurgedBlobIsRefused) {
  const auto content = pattern(600'000, 6);
  const auto blob = reserve(content.size());
  auto writer = blob->begin_stripe(0);
  ASSERT_TRUE(writer);
  store().purge(digest_of(1));
  EXPECT_FALSE((*writer)->write(std::span(content).first(10)));
  ASSERT_TRUE((*writer)->error());
  EXPECT_EQ((*writer)->error()->code(), Errc::kNotFound);
}

// A dropped stripe is missing again, here and after a restart, and can be written again.
TEST_P(BlobTest, ADroppedStripeIsMissingAgain) {
  const auto content = pattern(2 * kMiB, 8);
  {
    const auto blob = reserve(content.size());
    for (std::uint32_t stripe = 0; stripe < 4; ++stripe) ASSERT_TRUE(write_stripe(*blob, stripe, content));
    blob->drop_stripe(1);
    EXPECT_FALSE(blob->has(1));
    EXPECT_EQ(blob->readable(0, content.size()), kMinStripeBytes);
    EXPECT_EQ(blob->acquire({0, content.size()}).error().code(), Errc::kNotFound);
  }
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  EXPECT_EQ(blob->stripes_present(), 3U);
  ASSERT_TRUE(write_stripe(*blob, 1, content));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content);
}

// A full arena refuses writes without taking a byte, and says when there is space again.
TEST_P(BlobTest, AFullArenaPushesBack) {
  fixture_.close();
  fixture_.config.write_arena_bytes = 0;  // the smallest: one stripe of the largest size and a chunk
  ASSERT_TRUE(fixture_.open());
  const auto content = pattern(40 * kMiB, 9);
  const auto blob = reserve(content.size());
  std::atomic<int> woken = 0;
  const auto subscription = store().on_arena_space([&] { ++woken; });
  fixture_.faults->hold();
  std::vector<std::unique_ptr<StripeWriter>> writers;
  std::uint32_t refused = 0;
  for (std::uint32_t stripe = 0; stripe < 20 && refused == 0; ++stripe) {
    auto writer = blob->begin_stripe(stripe);
    ASSERT_TRUE(writer);
    const auto range = (*writer)->stripe();
    if (!(*writer)->write(std::span(content).subspan(range.begin, range.size()))) refused = stripe;
    writers.push_back(std::move(*writer));
  }
  ASSERT_GT(refused, 0U);
  EXPECT_FALSE(writers.back()->error());
  EXPECT_EQ(writers.back()->position(), writers.back()->stripe().begin);
  EXPECT_GT(fixture_.metric("oxbow_limit_hits_total{limit=\"storage.write_arena\"}"), 0);
  EXPECT_EQ(woken, 0);
  fixture_.faults->let_go();
  EXPECT_TRUE(wait_for([&] { return woken > 0; }));
  writers.pop_back();
  for (std::uint32_t stripe = 0; stripe < 20; ++stripe) {
    ASSERT_TRUE(wait_for([&] { return blob->has(stripe) || stripe >= refused; }));
    ASSERT_TRUE(write_stripe(*blob, stripe, content));
  }
}

// Bytes that wait for more do not hold more than half of the arena: what comes then is written at once.
TEST_P(BlobTest, GatheringLeavesRoomInTheArena) {
  fixture_.close();
  fixture_.config.write_arena_bytes = 0;
  ASSERT_TRUE(fixture_.open());
  const auto content = pattern(40 * kMiB, 10);
  const auto blob = reserve(content.size());
  const auto before = fixture_.faults->writes.load();
  std::vector<std::unique_ptr<StripeWriter>> writers;
  const auto gather = [&](std::size_t bytes) {
    auto writer = blob->begin_stripe(static_cast<std::uint32_t>(writers.size()));
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write(std::span(content).subspan((*writer)->stripe().begin, bytes), WriteWhen::kLater));
    writers.push_back(std::move(*writer));
  };
  for (int i = 0; i < 8; ++i) gather(kMinStripeBytes - 1);
  EXPECT_EQ(fixture_.faults->writes.load(), before) << "64 of 129 chunks";
  gather(kMinStripeBytes - 1);
  EXPECT_TRUE(wait_for([&] { return blob->readable(writers[8]->stripe().begin, kMinStripeBytes) > 0; }));
}

INSTANTIATE_TEST_SUITE_P(Engines, BlobTest, ::testing::Values(IoEngineKind::kThreads, IoEngineKind::kUring),
                         [](const auto& info) { return info.param == IoEngineKind::kUring ? "uring" : "threads"; });

}  // namespace
}  // namespace oxbow::storage

// Fetching and reading together, over real storage in a directory of its own and a source that can fail.
#include "mirror/blob_body.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <optional>

#include "body_reader.h"
#include "fake_source.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMiB = 1024UL * 1024;

class BlobBodyTest : public ::testing::Test {
 protected:
  BlobBodyTest() {
    // In memory where the machine has it: on a disk that others use too, a sync may take as long as a reader waits.
    const std::filesystem::path memory = "/dev/shm";
    const auto root = ::access(memory.c_str(), W_OK) == 0 ? memory : std::filesystem::temp_directory_path();
    std::string pattern = (root / "oxbow-blob-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    limits_.backoff_min = std::chrono::milliseconds(5);
    limits_.backoff_max = std::chrono::milliseconds(20);
    open();
  }
  ~BlobBodyTest() override {
    close();
    std::filesystem::remove_all(directory_);
  }

  /// As the daemon stops: a fetch may still be waiting for what is on its way, and its prefix be hashed.
  void close() {
    settle();
    pool_->join();
    loops_->finish(std::chrono::seconds(2));
    blobs_.reset();
    store_->close();
    store_.reset();
  }

  void open() {
    pool_.emplace(2);
    loops_.emplace(2);
    loops_->start();
    storage::Config config;
    config.directory = directory_;
    config.budget_bytes = budget_;
    config.floor_bytes = 0;
    auto store = storage::Store::open(config, clock_, metrics_);
    ASSERT_TRUE(store) << store.error().what();
    store_ = std::move(*store);
    blobs_ = std::make_unique<Blobs>(*store_, *pool_, clock_, metrics_, limits_);
  }

  void open_again(std::uint64_t budget) {
    close();
    budget_ = budget;
    open();
  }
  static void expect_whole(const Got& got, const std::string& content) {
    EXPECT_FALSE(got.cut) << got.cut->what();
    EXPECT_TRUE(got.bytes == content);
  }

  /// Waits for what is posted on every loop: the ends of readers and fetches.
  void settle() {
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < loops_->size(); ++i) {
        std::promise<void> reached;
        asio::post(loops_->at(i), [&] { reached.set_value(); });
        reached.get_future().wait();
      }
    }
  }

  BlobRead whole(const std::string& content, std::shared_ptr<SpanSource> source) {
    return {Digest::sha256(content), content.size(), {{0, content.size()}}, true, {}, std::move(source)};
  }

  std::future<Got> read_async(BlobRead read, std::size_t loop = 0, std::size_t stop_after = SIZE_MAX) {
    auto promise = std::make_shared<std::promise<std::shared_ptr<Reader>>>();
    asio::post(loops_->at(loop), [&, promise, loop, stop_after, read = std::move(read)]() mutable {
      auto body = std::make_unique<BlobBody>(*blobs_, loops_->at(loop), std::move(read));
      promise->set_value(std::make_shared<Reader>(loops_->at(loop), std::move(body), stop_after));
    });
    return promise->get_future().get()->run();
  }
  Got read(BlobRead what, std::size_t loop = 0, std::size_t stop_after = SIZE_MAX) {
    return read_async(std::move(what), loop, stop_after).get();
  }

  std::string directory_;
  std::uint64_t budget_ = 1024 * kMiB;
  SystemClock clock_;
  MetricsRegistry metrics_;
  FetchLimits limits_;
  std::optional<WorkPool> pool_;
  std::optional<Loops> loops_;
  std::unique_ptr<storage::Store> store_;
  std::unique_ptr<Blobs> blobs_;
};

// The main job: a cold read gives every byte, each byte crosses the upstream link once, and the next read needs no
// upstream.
TEST_F(BlobBodyTest, ColdThenWarm) {
  const auto content = pattern(10 * kMiB + 12'345);
  auto source = std::make_shared<FakeSource>(content);
  const auto cold = read(whole(content, source));
  EXPECT_FALSE(cold.cut);
  EXPECT_TRUE(cold.bytes == content);
  EXPECT_EQ(source->bytes_given(), content.size());
  const int requests = source->requests();
  const auto warm = read(whole(content, source));
  EXPECT_TRUE(warm.bytes == content);
  EXPECT_EQ(source->requests(), requests);
  EXPECT_EQ(store_->lookup(Digest::sha256(content))->state(), storage::BlobState::kVerified);
}

// The last stripe lies in the held end, and the window before it is still one stripe: it has to be asked for all the
// same.
TEST_F(BlobBodyTest, SizesAroundTheFirstWindow) {
  for (const std::size_t size : {kMiB - 1, kMiB, kMiB + 1, kMiB + 6'247, kMiB + 65'537}) {
    const auto content = pattern(size, size);
    auto source = std::make_shared<FakeSource>(content);
    auto reading = read_async(whole(content, source));
    ASSERT_EQ(reading.wait_for(std::chrono::seconds(20)), std::future_status::ready) << size;
    EXPECT_TRUE(reading.get().bytes == content) << size;
  }
}

// Many readers on several loops share one fetch.
TEST_F(BlobBodyTest, ReadersShareOneFetch) {
  const auto content = pattern(8 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  std::vector<std::future<Got>> readers;
  for (std::size_t i = 0; i < 8; ++i) readers.push_back(read_async(whole(content, source), i % 2));
  for (auto& reader : readers) EXPECT_TRUE(reader.get().bytes == content);
  EXPECT_EQ(source->bytes_given(), content.size());
}

// A reader that leaves early stops the fetch; what arrived is kept and not fetched again.
TEST_F(BlobBodyTest, AbandonedReadStopsAndKeeps) {
  limits_.cautious_for = std::chrono::milliseconds(60'000);  // however slowly it begins, one stripe is wanted
  close();
  open();
  const auto content = pattern(64 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  read(whole(content, source), 0, 100'000);
  settle();
  const auto given = source->bytes_given();
  EXPECT_LE(given, 2 * kMiB);
  const auto rest = read(whole(content, source));
  EXPECT_TRUE(rest.bytes == content);
  EXPECT_LE(source->bytes_given(), content.size() + 32'768);  // at most what was in flight when it stopped
}

// Clients hang up on open ranges and come back for the next: what was on its way is waited for, so that it is not sent
// twice, but nothing more is asked for, and it does not have for ever.
TEST_F(BlobBodyTest, WhatIsOnItsWayAsTheLastReaderLeavesIsKept) {
  limits_.lingers = std::chrono::milliseconds(5'000);
  limits_.cautious_for = std::chrono::milliseconds(60'000);  // one stripe is wanted
  close();
  open();
  const auto content = pattern(64 * kMiB);
  const auto digest = Digest::sha256(content);
  auto source = std::make_shared<FakeSource>(content);
  source->hold_after(200'000);
  read(whole(content, source), 0, 100'000);
  settle();
  EXPECT_LT(source->bytes_given(), Geometry(content.size()).stripe_bytes());
  source->release();
  ASSERT_TRUE(eventually([&] { return store_->lookup(digest)->has(0) && blobs_->running_count() == 0; }));
  EXPECT_EQ(source->requests(), 1);
  EXPECT_TRUE(read(whole(content, source)).bytes == content);
  EXPECT_EQ(source->bytes_given(), content.size());

  close();
  limits_.lingers = std::chrono::milliseconds(50);
  open();
  const auto other = pattern(64 * kMiB, 2);
  source = std::make_shared<FakeSource>(other);
  source->hold_after(200'000);
  read(whole(other, source), 0, 100'000);
  EXPECT_TRUE(eventually([&] { return blobs_->running_count() == 0; }));
}

// Closed ranges fetch what they cover and nothing ahead.
TEST_F(BlobBodyTest, ClosedRangeHasNoReadAhead) {
  const auto content = pattern(32 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  BlobRead range{Digest::sha256(content), content.size(), {{5 * kMiB + 10, 5 * kMiB + 60'010}}, false, {}, source};
  const auto got = read(range);
  EXPECT_TRUE(got.bytes == content.substr(5 * kMiB + 10, 60'000));
  EXPECT_LE(source->bytes_given(), Geometry(content.size()).stripe_bytes());
}

// Several ranges in one response, in request order.
TEST_F(BlobBodyTest, MultipartGivesEveryRange) {
  const auto content = pattern(16 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  BlobRead ranges{Digest::sha256(content), content.size(), {{9 * kMiB, 9 * kMiB + 100}, {10, 20}}, false, {}, source};
  ranges.layout.emplace(ranges.ranges, content.size(), "application/octet-stream", 7);
  const auto total = ranges.layout->total_bytes();
  const auto first = content.substr(9 * kMiB, 100);
  const auto second = content.substr(10, 10);
  const auto got = read(ranges);
  EXPECT_EQ(got.bytes.size(), total);
  const auto at = got.bytes.find(first);
  ASSERT_NE(at, std::string::npos);
  EXPECT_NE(got.bytes.find(second, at), std::string::npos);
}

// Upstream breaks off again and again: the read goes on from where it was, without asking for a byte twice.
TEST_F(BlobBodyTest, ResumesAfterFailures) {
  const auto content = pattern(6 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  source->fail_next(Errc::kUnavailable);
  source->fail_next(Errc::kUnavailable, 300'000);
  source->fail_next(Errc::kTimeout, 700'000);
  source->fail_next(Errc::kThrottled);
  const auto got = read(whole(content, source));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content);
  EXPECT_EQ(source->bytes_given(), content.size());
}

// A registry without range support: one request streams everything.
TEST_F(BlobBodyTest, SourceWithoutRanges) {
  const auto content = pattern(6 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  source->ignore_ranges();
  const auto got = read(whole(content, source));
  EXPECT_TRUE(got.bytes == content);
  EXPECT_EQ(source->bytes_given(), content.size());
  EXPECT_EQ(source->requests(), 1);
}

// Wrong bytes from upstream: no client gets a complete response; the blob is purged and the next pull is clean.
TEST_F(BlobBodyTest, WrongBytesNeverComplete) {
  const auto content = pattern(3 * kMiB);
  auto bad = std::make_shared<FakeSource>(content);
  bad->corrupt_byte(kMiB);
  const auto got = read(whole(content, bad));
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kCorrupt);
  EXPECT_LT(got.bytes.size(), content.size());
  settle();
  EXPECT_EQ(store_->lookup(Digest::sha256(content)), nullptr);
  auto good = std::make_shared<FakeSource>(content);
  EXPECT_TRUE(read(whole(content, good)).bytes == content);
}

// A source that says no for good ends the read; one that has nothing for too long as well. Neither hangs.
TEST_F(BlobBodyTest, GivesUpWithTheReason) {
  limits_.no_progress = std::chrono::milliseconds(1'500);
  close();
  open();
  const auto content = pattern(3 * kMiB);
  auto missing = std::make_shared<FakeSource>(content);
  missing->fail_always(Errc::kNotFound);
  const auto got = read(whole(content, missing));
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kNotFound);
  auto down = std::make_shared<FakeSource>(content);
  down->fail_always(Errc::kUnavailable);
  const auto later = read(whole(content, down));
  ASSERT_TRUE(later.cut);
  EXPECT_EQ(later.cut->code(), Errc::kUnavailable);
}

// One reader is refused, another one is not: that one alone gets its bytes.
TEST_F(BlobBodyTest, AnotherReadersRightsAreNotItsOwn) {
  const auto content = pattern(3 * kMiB);
  auto refused = std::make_shared<FakeSource>(content);
  refused->hold();
  auto first = read_async(whole(content, refused), 0);
  settle();
  auto good = std::make_shared<FakeSource>(content);
  good->hold();
  auto second = read_async(whole(content, good), 1);
  settle();
  refused->fail_always(Errc::kDenied);
  refused->release();
  const auto got = first.get();
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kDenied);
  EXPECT_EQ(got.bytes, "");
  good->release();
  EXPECT_TRUE(second.get().bytes == content);
}

// One reader's token ends in the middle, another reader's does not: both get their bytes.
TEST_F(BlobBodyTest, AnotherReadersRightsServeAll) {
  const auto content = pattern(3 * kMiB);
  auto refused = std::make_shared<FakeSource>(content);
  refused->expire();
  refused->hold();
  auto first = read_async(whole(content, refused), 0);
  settle();
  auto good = std::make_shared<FakeSource>(content);
  auto second = read_async(whole(content, good), 1);
  settle();
  refused->fail_always(Errc::kUnauthorized);
  refused->release();
  EXPECT_TRUE(first.get().bytes == content);
  EXPECT_TRUE(second.get().bytes == content);
}

// A blob that can never be kept is served through a window, and still verified.
TEST_F(BlobBodyTest, WindowWhenItCannotBeKept) {
  open_again(kMiB);
  const auto content = pattern(12 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  const auto got = read(whole(content, source));
  expect_whole(got, content);
  auto bad = std::make_shared<FakeSource>(content);
  bad->corrupt_byte(12 * kMiB - 1);
  const auto wrong = read(whole(content, bad));
  ASSERT_TRUE(wrong.cut);
  EXPECT_LT(wrong.bytes.size(), content.size());
}

// A blob of which the disk keeps only a part at a time comes whole and verified, once from upstream; and again, by what
// is left of it.
TEST_F(BlobBodyTest, LargerThanTheBudget) {
  open_again(64 * kMiB);
  const auto content = pattern(112 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  const auto got = read(whole(content, source));
  expect_whole(got, content);
  EXPECT_EQ(source->bytes_given(), content.size());
  const auto blob = store_->lookup(Digest::sha256(content));
  ASSERT_TRUE(blob);
  EXPECT_EQ(blob->state(), storage::BlobState::kVerified);
  EXPECT_LE(store_->usage().stored_bytes, budget_);
  const auto again = read(whole(content, source));
  expect_whole(again, content);
  EXPECT_LE(source->bytes_given(), 2 * content.size());
}

// A closed range of it, as clients that fetch in ranges ask, takes what it is at, and nothing twice.
TEST_F(BlobBodyTest, ARangeLargerThanTheBudget) {
  open_again(64 * kMiB);
  const auto content = pattern(112 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  auto range = whole(content, source);
  range.open_ended = false;
  const auto got = read(std::move(range));
  expect_whole(got, content);
  EXPECT_EQ(source->bytes_given(), content.size());
}

// A stripe of a verified blob was lost, and comes wrong: whoever was given it as it came does not get the end.
TEST_F(BlobBodyTest, AWrongStripeOfAVerifiedBlob) {
  const auto content = pattern(12 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  ASSERT_FALSE(read(whole(content, source)).cut);
  const auto blob = store_->lookup(Digest::sha256(content));
  blob->drop_stripe(5);
  auto bad = std::make_shared<FakeSource>(content);
  bad->corrupt_byte(blob->geometry().stripe(5).begin + 1'000);
  const auto got = read(whole(content, bad));
  EXPECT_TRUE(got.cut);
  EXPECT_LT(got.bytes.size(), content.size());
  ASSERT_TRUE(eventually([&] { return blobs_->running_count() == 0; }));  // the bad source may have a turn left
  const auto right = read(whole(content, source));
  expect_whole(right, content);
}

// One of its readers is far behind the others: what went before it came there is fetched again for it.
TEST_F(BlobBodyTest, LargerThanTheBudgetForTwo) {
  open_again(64 * kMiB);
  const auto content = pattern(112 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  auto first = read_async(whole(content, source), 0);
  ASSERT_TRUE(eventually([&] {
    const auto blob = store_->lookup(Digest::sha256(content));
    return blob && !blob->has(0) && blob->has(100);
  }));
  source->hold();
  auto second = read_async(whole(content, source), 1);
  source->release();
  expect_whole(first.get(), content);
  expect_whole(second.get(), content);
}

// After a restart in the middle of a pull only what is missing is fetched, and the whole still verifies.
TEST_F(BlobBodyTest, RestartFetchesOnlyWhatIsMissing) {
  const auto content = pattern(32 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  read(whole(content, source), 0, 12 * kMiB);
  ASSERT_TRUE(eventually([&] { return blobs_->running_count() == 0; }));
  close();
  open();
  // Counted here: what was on its way into the file may have got there last.
  const auto present = store_->lookup(Digest::sha256(content))->stripes_present();
  ASSERT_GT(present, 0U);
  auto after = std::make_shared<FakeSource>(content);
  EXPECT_TRUE(read(whole(content, after)).bytes == content);
  const auto stripe = Geometry(content.size()).stripe_bytes();
  EXPECT_EQ(after->bytes_given(), content.size() - present * stripe);
}

// A stripe that rots on disk is found at its first serve after a restart, fetched again, and checked between its
// midstates.
TEST_F(BlobBodyTest, RottenStripeIsFetchedAgain) {
  const auto content = pattern(8 * kMiB);
  auto source = std::make_shared<FakeSource>(content);
  read(whole(content, source));
  close();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_ + "/blobs")) {
    if (!entry.is_regular_file()) continue;
    auto* file = std::fopen(entry.path().c_str(), "r+");
    std::fseek(file, 2 * static_cast<long>(kMiB) + 77, SEEK_SET);
    std::fputc(content[2 * kMiB + 77] ^ 4, file);
    std::fclose(file);
  }
  open();
  auto again = std::make_shared<FakeSource>(content);
  const auto got = read(whole(content, again));
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content);
  EXPECT_EQ(again->bytes_given(), Geometry(content.size()).stripe_bytes());
}

}  // namespace
}  // namespace oxbow::mirror

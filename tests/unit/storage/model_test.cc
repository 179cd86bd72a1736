// Random operations against a model: whatever happens in whatever order, what is readable is right, what is missing can
// be written, and the accounts agree with the blobs. A failure names its seed.
#include <random>
#include <thread>

#include "support.h"

namespace oxbow::storage {
namespace {

constexpr std::uint64_t kBlobs = 8;

bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

class ModelTest : public ::testing::TestWithParam<unsigned> {
 protected:
  std::uint64_t size_of(std::uint64_t blob) const { return blob * 700'001 + 1; }
  const std::vector<std::byte>& content_of(std::uint64_t blob) {
    auto& content = contents_[blob];
    if (content.empty()) content = pattern(size_of(blob), blob);
    return content;
  }
  std::uint64_t pick(std::uint64_t below) {
    return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_);
  }

  void write_some(std::uint64_t blob) {
    const auto handle = fixture_.store->reserve(digest_of(blob), size_of(blob));
    if (!handle) return;
    auto writer = (*handle)->begin_stripe(static_cast<std::uint32_t>(pick((*handle)->geometry().stripes())));
    if (!writer) return;
    const std::uint64_t at = (*writer)->position();
    const std::uint64_t left = (*writer)->stripe().end - at;
    const std::uint64_t count = pick(3) == 0 ? pick(left) + 1 : left;
    const bool taken = (*writer)->write(std::span(content_of(blob)).subspan(at, count));
    if ((!taken || count < left) && pick(3) == 0) (*writer)->discard();
  }

  void check_readable(std::uint64_t blob) {
    const auto handle = fixture_.store->lookup(digest_of(blob));
    if (!handle) return;
    const std::uint64_t begin = pick(size_of(blob));
    const std::uint64_t count = handle->readable(begin, pick(2 * kMiB) + 1);
    if (count == 0) return;
    const auto bytes = read_range(*handle, {begin, begin + count});
    // Evicted in between is the only excuse.
    if (!bytes) {
      EXPECT_EQ(bytes.error().code(), Errc::kNotFound) << bytes.error().what();
      return;
    }
    const auto expected = std::span(content_of(blob)).subspan(begin, count);
    EXPECT_TRUE(same(*bytes, expected)) << "blob " << blob << " at " << begin;
  }

  void check_accounts() {
    std::uint64_t listed = 0;
    std::uint64_t pinned = 0;
    for (const auto& listing : fixture_.store->list()) {
      listed += listing.stored_bytes;
      if (listing.pinned) pinned += listing.stored_bytes;
    }
    const auto usage = fixture_.store->usage();
    EXPECT_EQ(usage.stored_bytes, listed);
    EXPECT_EQ(usage.pinned_bytes, pinned);
  }

  void step() {
    const std::uint64_t blob = pick(kBlobs);
    switch (pick(20)) {
      case 0:
        fixture_.store->purge(digest_of(blob));
        break;
      case 1:
        fixture_.store->pin(digest_of(blob), pick(2) == 0);
        break;
      case 2:
        if (auto handle = fixture_.store->lookup(digest_of(blob))) {
          handle->drop_stripe(static_cast<std::uint32_t>(pick(handle->geometry().stripes())));
        }
        break;
      case 3:
        fixture_.clock.advance(std::chrono::seconds(pick(30)));
        break;
      case 4:
        if (pick(10) == 0) fixture_.reopen();
        break;
      case 5: {
        const std::lock_guard lock(fixture_.faults->mutex);
        fixture_.faults->short_writes = {pick(70'000) + 1};
        break;
      }
      case 6:
      case 7:
      case 8:
        check_readable(blob);
        break;
      default:
        write_some(blob);
    }
  }

  StoreFixture fixture_{GetParam() % 2 == 0 ? IoEngineKind::kThreads : IoEngineKind::kUring};
  std::mt19937_64 random_{GetParam()};
  std::map<std::uint64_t, std::vector<std::byte>> contents_;
};

// One thread, every operation, a budget that is too small for everything.
TEST_P(ModelTest, RandomOperationsNeverShowAWrongByte) {
  fixture_.config.budget_bytes = 12 * kMiB;
  ASSERT_TRUE(fixture_.open());
  for (int i = 0; i < 400; ++i) step();
  // At rest: nothing in flight, so the accounts must agree with what is there.
  ASSERT_TRUE(wait_for([&] {
    std::uint64_t sum = 0;
    for (const auto& listing : fixture_.store->list()) sum += listing.stored_bytes;
    return sum == fixture_.store->usage().stored_bytes;
  }));
  // No file is left behind by a purge or an eviction that met a writer.
  EXPECT_TRUE(wait_for([&] { return fixture_.dir.blob_files().size() <= fixture_.store->list().size(); }));
  fixture_.reopen();
  check_accounts();
  EXPECT_EQ(fixture_.store->scrub().corrupt, 0U);
  for (std::uint64_t blob = 0; blob < kBlobs; ++blob) {
    fixture_.store->pin(digest_of(blob), false);
  }
  for (std::uint64_t blob = 0; blob < kBlobs; ++blob) {
    ASSERT_TRUE(write_blob(*fixture_.store, digest_of(blob), content_of(blob))) << blob;
    const auto handle = fixture_.store->lookup(digest_of(blob));
    EXPECT_EQ(read_range(*handle, whole(*handle)).value(), content_of(blob));
  }
}

// Several threads write, read, purge and evict at once.
TEST_P(ModelTest, ThreadsNeverSeeAWrongByte) {
  fixture_.config.budget_bytes = 12 * kMiB;
  ASSERT_TRUE(fixture_.open());
  for (std::uint64_t blob = 0; blob < kBlobs; ++blob) content_of(blob);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(GetParam() * 100 + t);
      const auto some = [&](std::uint64_t below) { return random() % below; };
      for (int i = 0; i < 150; ++i) {
        const std::uint64_t blob = some(kBlobs);
        const auto& content = contents_.at(blob);
        const auto handle = fixture_.store->reserve(digest_of(blob), content.size());
        if (!handle) continue;
        if (some(40) == 0) fixture_.store->purge(digest_of(blob));
        const auto stripe = static_cast<std::uint32_t>(some((*handle)->geometry().stripes()));
        if (auto writer = (*handle)->begin_stripe(stripe)) {
          const std::uint64_t at = (*writer)->position();
          (*writer)->write(std::span(content).subspan(at, some((*writer)->stripe().end - at) + 1));
        }
        const ByteRange range = (*handle)->geometry().stripe(stripe);
        const std::uint64_t count = (*handle)->readable(range.begin, range.size());
        if (count == 0) continue;
        const auto bytes = read_range(**handle, {range.begin, range.begin + count});
        if (bytes && !same(*bytes, std::span(content).subspan(range.begin, count))) ++wrong;
        if (!bytes && bytes.error().code() != Errc::kNotFound) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  // No file is left behind by a purge or an eviction that met a writer.
  EXPECT_TRUE(wait_for([&] { return fixture_.dir.blob_files().size() <= fixture_.store->list().size(); }));
  fixture_.reopen();
  check_accounts();
  EXPECT_EQ(fixture_.store->scrub().corrupt, 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range(1U, 5U));

}  // namespace
}  // namespace oxbow::storage

// Hashing the prefix of a blob as it grows, over real storage.
#include "mirror/prefix_hasher.h"

#include <condition_variable>
#include <latch>

#include "fake_peers.h"
#include "fake_source.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMiB = 1024UL * 1024;

class PrefixHasherTest : public ::testing::Test {
 protected:
  std::shared_ptr<storage::Blob> reserve(const std::string& claimed, std::size_t size) {
    auto blob = scratch_.store().reserve(Digest::sha256(claimed), size);
    EXPECT_TRUE(blob);
    return *blob;
  }
  /// By the midstates that the blob knows now.
  static std::optional<bool> check(storage::Blob& blob, std::uint32_t stripe) {
    const auto link = link_of(blob.geometry(), stripe, blob.midstates());
    return link ? check_link(blob, stripe, *link) : std::nullopt;
  }
  /// Writes a stripe and waits until it is committed.
  void write(storage::Blob& blob, std::uint32_t stripe, const std::string& content) {
    auto writer = blob.begin_stripe(stripe);
    ASSERT_TRUE(writer);
    const auto range = (*writer)->stripe();
    const auto part = std::string_view(content).substr(range.begin, range.size());
    wait_for(blob, [&] { return (*writer)->write(std::as_bytes(std::span(part))); });
    wait_for(blob, [&] { return blob.has(stripe); });
  }
  void write_all(storage::Blob& blob, const std::string& content) {
    for (std::uint32_t i = 0; i < blob.geometry().stripes(); ++i) write(blob, i, content);
  }
  static void wait_for(storage::Blob& blob, const std::function<bool()>& condition) {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t seen = 0;
    const auto subscription = blob.on_progress([&] {
      const std::lock_guard lock(mutex);
      ++seen;
      changed.notify_all();
    });
    for (std::size_t known = 0; !condition();) {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return seen != known; }));
      known = seen;
    }
  }
  struct Hashing {
    std::shared_ptr<PrefixHasher> hasher;
    std::future<Result<>> done;
  };
  Hashing start(std::shared_ptr<storage::Blob> blob) {
    auto promise = std::make_shared<std::promise<Result<>>>();
    auto done = promise->get_future();
    return {std::make_shared<PrefixHasher>(std::move(blob), scratch_.pool(), nullptr,
                                           [promise](Result<> outcome) { promise->set_value(std::move(outcome)); }),
            std::move(done)};
  }
  /// Jobs submitted so far have run, and those that they submitted: both threads of the pool are here at once.
  void settle() {
    for (int round = 0; round < 20; ++round) {
      auto reached = std::make_shared<std::latch>(3);
      for (int i = 0; i < 2; ++i) scratch_.pool().submit([reached] { reached->arrive_and_wait(); });
      reached->arrive_and_wait();
    }
  }

  std::string content_ = pattern(5 * kMiB + 1'234);
  Scratch scratch_;
};

// The file cannot be read any more: that is said, and nobody waits for a hash that never comes.
TEST_F(PrefixHasherTest, AFileThatCannotBeRead) {
  const auto blob = reserve(content_, content_.size());
  write_all(*blob, content_);
  auto [hasher, done] = start(blob);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.directory())) {
    if (!entry.is_regular_file() || entry.path().string().find(blob->digest().hex()) == std::string::npos) continue;
    std::filesystem::resize_file(entry.path(), 1'000);
    ++files;
  }
  ASSERT_EQ(files, 1U);
  hasher->poke();
  ASSERT_EQ(done.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(done.get().error().code(), Errc::kIo);
  EXPECT_NE(blob->state(), storage::BlobState::kVerified);
}

// All bytes, in any order of arrival: verified, with the midstate of each stripe boundary.
TEST_F(PrefixHasherTest, WholeBlobVerifies) {
  const auto blob = reserve(content_, content_.size());
  auto [hasher, done] = start(blob);
  for (auto i = blob->geometry().stripes(); i-- > 0;) {
    write(*blob, i, content_);
    hasher->poke();
  }
  EXPECT_TRUE(done.get());
  EXPECT_EQ(hasher->position(), content_.size());
  EXPECT_EQ(blob->state(), storage::BlobState::kVerified);
  const auto midstates = blob->midstates();
  ASSERT_EQ(midstates.size(), blob->geometry().stripes() - 1);
  Hasher expected(Digest::Algorithm::kSha256);
  for (std::uint32_t i = 0; i < midstates.size(); ++i) {
    const auto range = blob->geometry().stripe(i);
    expected.update(std::as_bytes(std::span(content_).subspan(range.begin, range.size())));
    EXPECT_EQ(midstates[i], expected.midstate()) << i;
  }
}

// It stops at the first gap, says how far it came, and goes on when the gap is filled.
TEST_F(PrefixHasherTest, StopsAtAGap) {
  const auto blob = reserve(content_, content_.size());
  auto [hasher, done] = start(blob);
  write(*blob, 0, content_);
  write(*blob, 2, content_);
  hasher->poke();
  settle();
  const auto stripe = blob->geometry().stripe_bytes();
  EXPECT_EQ(hasher->position(), stripe);
  EXPECT_EQ(blob->midstates().size(), 1U);
  write(*blob, 1, content_);
  hasher->poke();
  settle();
  EXPECT_EQ(hasher->position(), 3 * stripe);
}

// A snapshot is the state of the prefix, and going on from it does not disturb the original.
TEST_F(PrefixHasherTest, SnapshotGoesOnAlone) {
  const auto blob = reserve(content_, content_.size());
  auto [hasher, done] = start(blob);
  write(*blob, 0, content_);
  hasher->poke();
  settle();
  auto alone = hasher->snapshot();
  EXPECT_EQ(alone.bytes(), blob->geometry().stripe_bytes());
  alone.update(std::as_bytes(std::span(content_).subspan(alone.bytes())));
  EXPECT_EQ(alone.digest(), Digest::sha256(content_));
  for (std::uint32_t i = 1; i < blob->geometry().stripes(); ++i) write(*blob, i, content_);
  hasher->poke();
  EXPECT_TRUE(done.get());
}

// Wrong bytes: kCorrupt, once, and the blob is not called verified.
TEST_F(PrefixHasherTest, MismatchIsCorrupt) {
  const auto blob = reserve(content_, content_.size());
  auto wrong = content_;
  wrong.back() ^= 1;
  write_all(*blob, wrong);
  auto [hasher, done] = start(blob);
  hasher->poke();
  const auto outcome = done.get();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), Errc::kCorrupt);
  EXPECT_NE(blob->state(), storage::BlobState::kVerified);
  hasher->poke();  // a second call of `done` would throw
  settle();
}

// After a restart it begins at the last midstate: what lies before is not read again.
TEST_F(PrefixHasherTest, ResumesFromMidstates) {
  std::uint64_t hashed = 0;
  {
    const auto blob = reserve(content_, content_.size());
    auto [hasher, done] = start(blob);
    for (std::uint32_t i = 0; i < 4; ++i) write(*blob, i, content_);
    hasher->poke();
    settle();
    hashed = hasher->position();
    EXPECT_EQ(hashed, 4 * blob->geometry().stripe_bytes());
  }
  scratch_.reopen();
  const auto blob = scratch_.store().lookup(Digest::sha256(content_));
  ASSERT_TRUE(blob);
  blob->drop_stripe(1);  // not needed any more
  auto [hasher, done] = start(blob);
  EXPECT_EQ(hasher->position(), hashed);
  EXPECT_EQ(hasher->snapshot().bytes(), hashed);
  for (std::uint32_t i = 4; i < blob->geometry().stripes(); ++i) write(*blob, i, content_);
  hasher->poke();
  EXPECT_TRUE(done.get());
}

// Pokes from many threads while bytes arrive: nothing is missed.
TEST_F(PrefixHasherTest, PokesRace) {
  const auto blob = reserve(content_, content_.size());
  auto [hasher, done] = start(blob);
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, kept = hasher] {
      while (!stop) {
        kept->poke();
        std::this_thread::yield();
      }
    });
  }
  write_all(*blob, content_);
  stop = true;
  for (auto& thread : threads) thread.join();
  hasher->poke();
  EXPECT_TRUE(done.get());
}

// One stripe alone is checked between two midstates, the last one against the digest.
TEST_F(PrefixHasherTest, LinksTellWhichStripeIsWrong) {
  const auto blob = reserve(content_, content_.size());
  EXPECT_FALSE(check(*blob, 1)) << "nothing is known yet";
  auto [hasher, done] = start(blob);
  write_all(*blob, content_);
  hasher->poke();
  ASSERT_TRUE(done.get());
  const auto stripes = blob->geometry().stripes();
  for (std::uint32_t i = 0; i < stripes; ++i) EXPECT_EQ(check(*blob, i), true) << i;
  auto wrong = content_;
  for (const auto bad : {0U, 2U, stripes - 1}) {
    wrong[bad * blob->geometry().stripe_bytes() + 5] ^= 1;
    blob->drop_stripe(bad);
    EXPECT_FALSE(check(*blob, bad)) << "it is not there";
    write(*blob, bad, wrong);
  }
  for (std::uint32_t i = 0; i < stripes; ++i) {
    EXPECT_EQ(check(*blob, i), !(i == 0 || i == 2 || i == stripes - 1)) << i;
  }
}

// What was hashed alone is stepped over: the stripe is not read again, which shows where its bytes have become wrong.
TEST_F(PrefixHasherTest, StepsOverALink) {
  const auto states = midstates_of(content_);
  auto wrong = content_;
  const auto blob = reserve(content_, content_.size());
  for (const auto stripe : {1U, 2U, 4U}) wrong[stripe * blob->geometry().stripe_bytes() + 5] ^= 1;
  auto [hasher, done] = start(blob);
  for (const auto stripe : {1U, 2U, 4U}) hasher->add_link(stripe, *link_of(blob->geometry(), stripe, states));
  write_all(*blob, wrong);
  hasher->poke();
  EXPECT_TRUE(done.get());
  EXPECT_EQ(blob->midstates(), states);
}

// A link that begins elsewhere, one whose bytes have been replaced, and one of a stripe that is not there: hashed.
TEST_F(PrefixHasherTest, LinksThatDoNotStand) {
  const auto states = midstates_of(content_);
  const auto blob = reserve(content_, content_.size());
  auto [hasher, done] = start(blob);
  hasher->add_link(1, {states[3], states[4]});
  hasher->add_link(2, {states[1], states[4]});
  hasher->forget_link(2);
  hasher->add_link(3, *link_of(blob->geometry(), 3, states));
  for (const auto stripe : {0U, 1U, 2U}) write(*blob, stripe, content_);
  hasher->poke();
  settle();
  EXPECT_EQ(hasher->position(), 3 * blob->geometry().stripe_bytes());
  for (auto stripe = 3U; stripe < blob->geometry().stripes(); ++stripe) write(*blob, stripe, content_);
  hasher->poke();
  EXPECT_TRUE(done.get());
  EXPECT_EQ(blob->midstates(), states);
}

}  // namespace
}  // namespace oxbow::mirror

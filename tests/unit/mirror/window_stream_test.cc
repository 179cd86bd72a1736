// Window mode: one reader straight from its source, when nothing can be kept.
#include "mirror/window_stream.h"

#include "fake_source.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

constexpr std::size_t kMiB = 1024UL * 1024;

struct Got {
  std::string bytes;
  std::optional<Error> cut;
};

class WindowStreamTest : public ::testing::Test {
 protected:
  WindowStream::Options whole(std::optional<Hasher> hasher = Hasher(Digest::Algorithm::kSha256)) {
    return {Digest::sha256(content_), content_.size(), {0, content_.size()}, std::move(hasher)};
  }
  /// Reads to the end, or until so many bytes have come.
  Got read(WindowStream::Options options, std::size_t stop_after = SIZE_MAX) {
    return scratch_.run(read_on(scratch_, memory_, std::move(options), source_, stop_after));
  }

  std::string content_ = pattern(3 * kMiB + 99);
  std::shared_ptr<FakeSource> source_ = std::make_shared<FakeSource>(content_);
  Scratch scratch_;
  Counter& hits_ = limit_counter(scratch_.metrics(), "memory");
  WindowMemory memory_{64 * kMiB, hits_};

 private:
  static Task<Got> read_on(Scratch& scratch, WindowMemory& shared, WindowStream::Options options,
                           std::shared_ptr<SpanSource> source, std::size_t stop_after) {
    Got got;
    Loop* loop = co_await this_loop();
    auto waker = std::make_shared<Waker>(*loop);
    asio::steady_timer woken(*loop);
    bool pending = false;
    waker->set([&] {
      pending = true;
      woken.cancel();
    });
    WindowStream stream(std::move(options), std::move(source), scratch.clock(), shared, waker);
    while (got.bytes.size() < stop_after) {
      auto piece = stream.next(50'000);
      if (const auto* memory = std::get_if<http::MemoryPiece>(&piece)) {
        EXPECT_LE(memory->bytes.size(), 50'000U);
        EXPECT_FALSE(memory->bytes.empty());
        got.bytes += memory->bytes;
      } else if (std::holds_alternative<http::Wait>(piece)) {
        if (!std::exchange(pending, false)) {
          woken.expires_after(std::chrono::seconds(20));
          try {
            co_await woken.async_wait(asio::use_awaitable);
            ADD_FAILURE() << "never woken";
            break;
          } catch (const boost::system::system_error&) {
          }
          pending = false;
        }
      } else {
        if (const auto* cut = std::get_if<http::Cut>(&piece)) got.cut = cut->error;
        break;
      }
    }
    waker->clear();
    co_return got;
  }
};

// Every byte, once, through a bounded window.
TEST_F(WindowStreamTest, GivesAll) {
  const auto got = read(whole());
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_);
  EXPECT_EQ(source_->bytes_given(), content_.size());
  EXPECT_EQ(source_->requests(), 1);
}

// A reader that takes nothing stops its source at the window's size.
TEST_F(WindowStreamTest, WindowIsBounded) {
  auto stream = std::unique_ptr<WindowStream>();
  auto waker = std::make_shared<Waker>(scratch_.loop());
  scratch_.on_loop([&] {
    waker->set([] {});
    stream = std::make_unique<WindowStream>(whole(), source_, scratch_.clock(), memory_, waker);
  });
  std::uint64_t given = 0;
  do {
    given = source_->bytes_given();
    for (int i = 0; i < 50; ++i) scratch_.on_loop([] {});
  } while (source_->bytes_given() != given);
  EXPECT_GT(given, 0U);
  EXPECT_LE(given, kWindowBytes + 65'536);
  scratch_.on_loop([&] {
    stream.reset();
    waker->clear();
  });
}

// The memory of all windows is one: the more there are, the smaller each is, and none is without.
TEST_F(WindowStreamTest, ManyWindowsShareTheMemory) {
  WindowMemory memory(3 * kMiB, hits_);
  for (int i = 0; i < 3; ++i) memory.join();
  EXPECT_EQ(memory.share(), kWindowBytes);
  EXPECT_EQ(hits_.Value(), 0);
  for (int i = 0; i < 3; ++i) memory.join();
  EXPECT_EQ(memory.share(), kWindowBytes / 2);
  EXPECT_EQ(hits_.Value(), 3);
  for (int i = 0; i < 1'000; ++i) memory.join();
  EXPECT_EQ(memory.share(), kLeastWindowBytes);
  for (int i = 0; i < 1'003; ++i) memory.leave();
  EXPECT_EQ(memory.share(), kWindowBytes);
}

// So does a reader that is one of many: it gets everything through what it has.
TEST_F(WindowStreamTest, GivesAllThroughASmallWindow) {
  for (int i = 0; i < 10'000; ++i) memory_.join();
  const auto got = read(whole());
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_);
  EXPECT_EQ(source_->requests(), 1);
}

// Ranges are given exactly, without verification.
TEST_F(WindowStreamTest, Range) {
  const auto got = read({Digest::sha256(content_), content_.size(), {100, 2 * kMiB}, std::nullopt});
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(100, 2 * kMiB - 100));
  EXPECT_EQ(source_->bytes_given(), 2 * kMiB - 100);
}

// The source breaks off again and again: the stream goes on where it was.
TEST_F(WindowStreamTest, Resumes) {
  source_->fail_next(Errc::kUnavailable);
  source_->fail_next(Errc::kTimeout, 500'000);
  source_->fail_next(Errc::kThrottled, 16'384);
  source_->fail_next(Errc::kLimit);
  const auto got = read(whole());
  EXPECT_FALSE(got.cut) << got.cut->what();
  EXPECT_TRUE(got.bytes == content_);
  EXPECT_EQ(source_->bytes_given(), content_.size());
  EXPECT_EQ(source_->requests(), 5);
}

// A source without ranges begins anew each time; what came before is skipped, and the whole still verifies.
TEST_F(WindowStreamTest, ResumesWithoutRanges) {
  source_->ignore_ranges();
  source_->fail_next(Errc::kUnavailable, 700'000);
  source_->fail_next(Errc::kUnavailable, 200'000);
  source_->fail_next(Errc::kUnavailable, 1'500'000);
  const auto got = read(whole());
  EXPECT_FALSE(got.cut) << got.cut->what();
  EXPECT_TRUE(got.bytes == content_);
}

// The same for a range in the middle.
TEST_F(WindowStreamTest, RangeOfASourceWithoutRanges) {
  source_->ignore_ranges();
  source_->fail_next(Errc::kUnavailable, 2 * kMiB);
  const auto got = read({Digest::sha256(content_), content_.size(), {kMiB + 3, 3 * kMiB}, std::nullopt});
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kMiB + 3, 2 * kMiB - 3));
}

// Wrong bytes, wherever they are: the end is withheld and the reader is cut.
TEST_F(WindowStreamTest, MismatchIsWithheld) {
  for (const auto at : {std::size_t{0}, kMiB, content_.size() - 1}) {
    source_ = std::make_shared<FakeSource>(content_);
    source_->corrupt_byte(at);
    const auto got = read(whole());
    ASSERT_TRUE(got.cut) << at;
    EXPECT_EQ(got.cut->code(), Errc::kCorrupt);
    EXPECT_LT(got.bytes.size(), content_.size());
  }
}

// A reader that goes on from the middle with the hash of what it gave verifies the whole.
TEST_F(WindowStreamTest, GoesOnFromAPrefix) {
  Hasher hasher(Digest::Algorithm::kSha256);
  hasher.update(std::as_bytes(std::span(content_).first(kMiB)));
  auto options = whole(hasher);
  options.range.begin = kMiB;
  const auto got = read(options);
  EXPECT_FALSE(got.cut);
  EXPECT_TRUE(got.bytes == content_.substr(kMiB));
  source_->corrupt_byte(2 * kMiB);
  EXPECT_TRUE(read(options).cut);
}

// The hash may be further than what was given: bytes that it knows are not fed twice.
TEST_F(WindowStreamTest, HashAheadOfTheReader) {
  Hasher hasher(Digest::Algorithm::kSha256);
  hasher.update(std::as_bytes(std::span(content_).first(kMiB + 777)));
  auto options = whole(hasher);
  options.range.begin = 1'000;
  const auto got = read(options);
  EXPECT_FALSE(got.cut) << got.cut->what();
  EXPECT_TRUE(got.bytes == content_.substr(1'000));
}

// What is final is not tried again.
TEST_F(WindowStreamTest, FinalErrorsEnd) {
  for (const auto code : {Errc::kNotFound, Errc::kUnauthorized, Errc::kDenied, Errc::kCorrupt}) {
    source_ = std::make_shared<FakeSource>(content_);
    source_->fail_always(code);
    const auto got = read(whole());
    ASSERT_TRUE(got.cut);
    EXPECT_EQ(got.cut->code(), code);
    EXPECT_EQ(source_->requests(), 1);
  }
}

// Without a byte for too long the reader is cut with the reason.
TEST_F(WindowStreamTest, NoProgressEnds) {
  source_->fail_always(Errc::kUnavailable);
  auto options = whole();
  options.no_progress = std::chrono::milliseconds(0);
  const auto got = read(options);
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kUnavailable);
}

// A source that speaks of another size is not believed.
TEST_F(WindowStreamTest, AnotherSizeIsCorrupt) {
  auto options = whole(std::nullopt);
  options.blob_bytes += 1;
  options.range.end += 1;
  const auto got = read(options);
  ASSERT_TRUE(got.cut);
  EXPECT_EQ(got.cut->code(), Errc::kCorrupt);
  EXPECT_TRUE(got.bytes.empty());
}

// A reader that leaves ends its request, also between failure and retry.
TEST_F(WindowStreamTest, LeavingEndsIt) {
  read(whole(), 100'000);
  const auto given = source_->bytes_given();
  for (int i = 0; i < 20; ++i) scratch_.on_loop([] {});
  EXPECT_EQ(source_->bytes_given(), given);
  source_->fail_next(Errc::kUnavailable, 200'000);
  read(whole(), 200'000);
  const auto requests = source_->requests();
  scratch_.run([]() -> Task<bool> {
    co_await sleep_for(std::chrono::milliseconds(150));
    co_return true;
  }());
  EXPECT_EQ(source_->requests(), requests);
}

}  // namespace
}  // namespace oxbow::mirror

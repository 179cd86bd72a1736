// The store's small parts by themselves: rows, eviction queue, waiters, residency, engines.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "storage/arena.h"
#include "storage/residency.h"
#include "support.h"

namespace oxbow::storage {
namespace {

// Rows read back as they were written; cut or foreign bytes are no row.
TEST(RowsTest, RoundTripAndRejection) {
  const BlobRow blob{.size = 123,
                     .generation = 1ULL << 40,
                     .last_used_s = 77,
                     .state = BlobState::kVerified,
                     .pinned = true,
                     .in_main = true};
  EXPECT_EQ(decode_blob_row(encode(blob)), blob);
  SpanRow span{.present = 0b101, .midstates = 0b10, .checksums = {}, .midstate_bytes = std::string(32, 'm')};
  span.checksums[0] = {1, 2};
  span.checksums[2] = {3, 4};
  const std::string bytes = encode(span);
  EXPECT_EQ(bytes.size(), 3U + 32 + 32);
  const auto back = decode_span_row(bytes, 32);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->checksums, span.checksums);
  EXPECT_EQ(back->midstate_bytes, span.midstate_bytes);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(decode_span_row(bytes.substr(0, cut), 32)) << cut;
  EXPECT_FALSE(decode_span_row(bytes + "x", 32));
  EXPECT_FALSE(decode_blob_row("\2" + encode(blob).substr(1)));
  const auto key = parse_span_key(span_key(digest_of(1), 0x01020304));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->digest, digest_of(1));
  EXPECT_EQ(key->span, 0x01020304U);
  EXPECT_FALSE(parse_digest_key("x"));
  std::string body = encode(SmallBody{.bytes = "body", .media_type = "type"});
  EXPECT_EQ(decode_small(body)->bytes, "body");
  body[body.size() - 1] = 'X';
  EXPECT_FALSE(decode_small(body));
}

// A key that comes back soon after it was evicted unused goes to the main queue.
TEST(S3FifoTest, AGhostReturnsToTheMainQueue) {
  S3Fifo queue;
  queue.insert(digest_of(1), 10);
  EXPECT_FALSE(queue.in_main(digest_of(1)));
  ASSERT_EQ(queue.victim([](const Digest&) { return true; }), digest_of(1));
  queue.remember(digest_of(1));
  queue.erase(digest_of(1));
  queue.insert(digest_of(1), 10);
  EXPECT_TRUE(queue.in_main(digest_of(1)));
}

// Nothing is evicted when nothing may be.
TEST(S3FifoTest, NothingMayGo) {
  S3Fifo queue;
  queue.insert(digest_of(1), 10);
  queue.insert(digest_of(2), 10, true);
  queue.hit(digest_of(2));
  EXPECT_EQ(queue.victim([](const Digest&) { return false; }), std::nullopt);
  EXPECT_EQ(queue.bytes(), 20U);
}

bool in_memory(std::byte* page) {
  unsigned char state = 0;
  return ::mincore(page, 4096, &state) == 0 && (state & 1) != 0;
}

// Memory that is used now and then stays; what has been idle for a while goes back, once nothing waits in it.
TEST(WriteArenaTest, GivesMemoryBackWhenIdle) {
  WriteArena arena(1 << 20);
  std::vector<std::byte*> chunks;
  const auto use = [&] {
    EXPECT_TRUE(arena.take(1, chunks));
    auto* const page = chunks.front();
    *page = std::byte{1};
    static_cast<void>(arena.release(chunks));
    return page;
  };
  auto* const page = use();
  for (int round = 0; round < 3; ++round) {
    for (int look = 0; look < WriteArena::kIdleLooks; ++look) arena.trim();
    EXPECT_TRUE(in_memory(page));
    EXPECT_EQ(use(), page);
  }
  for (int look = 0; look <= WriteArena::kIdleLooks; ++look) arena.trim();
  EXPECT_FALSE(in_memory(page));

  ASSERT_TRUE(arena.take(1, chunks));
  *page = std::byte{1};
  for (int look = 0; look <= 2 * WriteArena::kIdleLooks; ++look) arena.trim();
  EXPECT_TRUE(in_memory(page));
  static_cast<void>(arena.release(chunks));
  for (int look = 0; look <= WriteArena::kIdleLooks; ++look) arena.trim();
  EXPECT_FALSE(in_memory(page));
}

// A subscription may be destroyed by its own callback, and is silent afterwards.
TEST(WakeListTest, ACallbackMayEndItself) {
  WakeList list;
  std::unique_ptr<Subscription> subscription;
  int calls = 0;
  subscription = list.add([&] {
    ++calls;
    subscription.reset();
  });
  list.wake_all();
  list.wake_all();
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(list.empty());
}

// Destroying a subscription waits for its running callback.
TEST(WakeListTest, DestroyingWaitsForTheCallback) {
  WakeList list;
  std::atomic<bool> inside = false;
  std::atomic<bool> release = false;
  std::atomic<bool> finished = false;
  auto subscription = list.add([&] {
    inside = true;
    while (!release) std::this_thread::yield();
    finished = true;
  });
  std::thread waker([&] { list.wake_all(); });
  while (!inside) std::this_thread::yield();
  std::thread releaser([&] { release = true; });
  subscription.reset();
  EXPECT_TRUE(finished);
  waker.join();
  releaser.join();
}

// Dropped pages are seen as not resident, by both probes; just written ones as resident.
TEST(ResidencyTest, ColdPagesAreSeen) {
  TempDir dir(TempDir::Where::kDisk);
  const std::string path = dir.path() + "/file";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const auto content = pattern(kMiB, 1);
  ASSERT_EQ(::pwrite(fd, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
  EXPECT_TRUE(is_resident(fd, {0, kMiB}));
  EXPECT_TRUE(is_resident(fd, {5, 6}));
  EXPECT_TRUE(is_resident_by_probe(fd, {0, kMiB}));
  ASSERT_EQ(::fdatasync(fd), 0);
  // The kernel keeps pages that somebody holds at that moment, and those of another core's batch.
  bool seen = true;
  bool probed = true;
  for (int tries = 0; tries < 1'000 && (seen || probed); ++tries) {
    ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    seen = is_resident(fd, {0, kMiB});
    probed = is_resident_by_probe(fd, {0, kMiB});
  }
  EXPECT_FALSE(seen);
  EXPECT_FALSE(probed);
  ::close(fd);
}

class EngineTest : public ::testing::TestWithParam<bool> {
 protected:
  std::unique_ptr<IoEngine> make() {
    if (!GetParam()) return make_thread_engine(3);
    auto engine = make_uring_engine();
    EXPECT_TRUE(engine) << engine.error().what();
    return engine ? std::move(*engine) : nullptr;
  }
};

// Many requests at once, more than the ring has entries, all end; the destructor waits for them.
TEST_P(EngineTest, ManyRequestsEnd) {
  TempDir dir;
  const int fd = ::open((dir.path() + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  constexpr int kCount = 1000;
  const auto content = pattern(kCount * 512, 1);
  std::vector<iovec> parts(kCount);
  std::atomic<std::int64_t> written = 0;
  {
    auto engine = make();
    ASSERT_TRUE(engine);
    for (int i = 0; i < kCount; ++i) {
      parts[i] = {.iov_base = const_cast<std::byte*>(content.data()) + i * 512, .iov_len = 512};
      engine->write(fd, {&parts[i], 1}, static_cast<std::uint64_t>(i) * 512, [&](std::int64_t n) { written += n; });
    }
  }
  EXPECT_EQ(written, kCount * 512);
  std::vector<std::byte> back(content.size());
  std::atomic<std::int64_t> read = 0;
  {
    auto engine = make();
    for (int i = 0; i < kCount; ++i) {
      engine->read(fd, std::span(back).subspan(i * 512, 512), static_cast<std::uint64_t>(i) * 512,
                   [&](std::int64_t n) { read += n; });
    }
  }
  EXPECT_EQ(read, kCount * 512);
  EXPECT_EQ(back, content);
  ::close(fd);
}

// Errors come as -errno, the end of the file as 0.
TEST_P(EngineTest, ErrorsAndTheEnd) {
  auto engine = make();
  ASSERT_TRUE(engine);
  std::vector<std::byte> buffer(10);
  std::promise<std::int64_t> bad;
  engine->read(-1, buffer, 0, [&](std::int64_t n) { bad.set_value(n); });
  EXPECT_EQ(bad.get_future().get(), -EBADF);
  TempDir dir;
  const int fd = ::open((dir.path() + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  std::promise<std::int64_t> end;
  engine->read(fd, buffer, 0, [&](std::int64_t n) { end.set_value(n); });
  EXPECT_EQ(end.get_future().get(), 0);
  ::close(fd);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, ::testing::Values(false, true),
                         [](const auto& info) { return info.param ? "uring" : "threads"; });

// Cold pages are read by `prepare` through the engine, so that sendfile does not block.
TEST(PrepareTest, ColdPagesAreReadFirst) {
  StoreFixture fixture(IoEngineKind::kAuto, TempDir::Where::kDisk);
  ASSERT_TRUE(fixture.open());
  const auto content = pattern(2 * kMiB, 1);
  ASSERT_TRUE(write_blob(*fixture.store, digest_of(1), content));
  const auto blob = fixture.store->lookup(digest_of(1));
  const auto pinned = blob->acquire(whole(*blob));
  ASSERT_EQ(::fdatasync(pinned->fd), 0);
  ASSERT_EQ(::posix_fadvise(pinned->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  fixture.clock.advance(std::chrono::minutes(1));
  std::promise<Result<>> done;
  ASSERT_FALSE(blob->prepare({0, kMiB}, [&](Result<> result) { done.set_value(std::move(result)); }));
  EXPECT_TRUE(done.get_future().get());
  EXPECT_GT(fixture.faults->reads, 0);
  EXPECT_TRUE(is_resident(pinned->fd, {0, kMiB}));
  EXPECT_TRUE(blob->prepare({0, kMiB}, [](Result<>) {}));
}

// The engine that was chosen is named, in the API and in the metric.
TEST(EngineChoiceTest, IsTold) {
  StoreFixture fixture(IoEngineKind::kUring);
  ASSERT_TRUE(fixture.open());
  EXPECT_EQ(fixture.store->io_engine(), "io_uring");
  EXPECT_EQ(fixture.metric("oxbow_storage_io_engine{engine=\"io_uring\"}"), 1);
}

}  // namespace
}  // namespace oxbow::storage

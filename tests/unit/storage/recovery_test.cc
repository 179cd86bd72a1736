// What a restart finds: after a clean close, a killed process, lost or damaged files, a damaged index.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "support.h"

namespace oxbow::storage {
namespace {

namespace fs = std::filesystem;

class RecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(fixture_.open()); }
  Store& store() { return *fixture_.store; }
  void overwrite(const std::string& path, std::uint64_t offset, std::string_view bytes) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)), static_cast<ssize_t>(bytes.size()));
    ::close(fd);
  }

  StoreFixture fixture_;
  std::vector<std::byte> content_ = pattern(4 * kMiB, 1);
};

// A byte flipped on disk is found at the stripe's first serve of the next run: the stripe is dropped and counted, the
// others stay.
TEST_F(RecoveryTest, AFlippedByteIsFoundAtTheFirstServe) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  overwrite(fixture_.dir.blob_files().at(0), kMinStripeBytes + 77, "x");
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  ASSERT_TRUE(blob->complete());
  EXPECT_EQ(prepare(*blob, {0, content_.size()}).error().code(), Errc::kCorrupt);
  EXPECT_FALSE(blob->has(1));
  EXPECT_EQ(blob->stripes_present(), 7U);
  EXPECT_EQ(fixture_.metric("oxbow_verify_failures_total{source=\"storage\"}"), 1);
  EXPECT_TRUE(read_range(*blob, {2 * kMinStripeBytes, content_.size()}));
  ASSERT_TRUE(write_stripe(*blob, 1, content_));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
}

// The checksum is compared once a run: the second prepare of the same range reads nothing.
TEST_F(RecoveryTest, AStripeIsCheckedOncePerRun) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  ASSERT_TRUE(prepare(*blob, whole(*blob)));
  const int reads = fixture_.faults->reads;
  EXPECT_GT(reads, 0);
  fixture_.clock.advance(std::chrono::minutes(5));  // what is known about residency is old; the pages are still there
  EXPECT_TRUE(blob->prepare(whole(*blob), [](Result<>) {}));
  EXPECT_EQ(fixture_.faults->reads, reads);
}

// Many readers of a stripe that has not been checked cause one read of it.
TEST_F(RecoveryTest, ConcurrentChecksShareOneRead) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.reopen();
  const auto blob = store().lookup(digest_of(1));
  std::atomic<int> done = 0;
  for (int i = 0; i < 50; ++i) {
    if (blob->prepare({0, 100}, [&](Result<> result) { done += result ? 1 : 100; })) ++done;
  }
  EXPECT_TRUE(wait_for([&] { return done == 50; }));
  EXPECT_LE(fixture_.faults->reads, 4);
}

// A file that is gone costs its blob and nothing else; it can be written again.
TEST_F(RecoveryTest, AMissingFileIsAMiss) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  fs::remove(fixture_.dir.blob_files().at(0));
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  EXPECT_EQ(prepare(*blob, {0, 100}).error().code(), Errc::kNotFound);
  EXPECT_EQ(blob->stripes_present(), 0U);
  EXPECT_EQ(store().usage().stored_bytes, 0U);
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
}

// A blob that was reserved and of which nothing came has a row and no file: it can be written after a restart.
TEST_F(RecoveryTest, AReservedBlobCanBeWrittenAfterARestart) {
  ASSERT_TRUE(store().reserve(digest_of(1), content_.size()));
  fixture_.reopen();
  EXPECT_TRUE(fixture_.dir.blob_files().empty());
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
}

// A file that vanished is made anew by the next writer, without an error to him.
TEST_F(RecoveryTest, AWriterMakesALostFileAnew) {
  const auto old_blob = store().reserve(digest_of(1), content_.size()).value();
  ASSERT_TRUE(write_stripe(*old_blob, 3, content_));
  fixture_.close();
  fs::remove(fixture_.dir.blob_files().at(0));
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  EXPECT_TRUE(blob->has(3));
  ASSERT_TRUE(write_stripe(*blob, 0, content_));
  EXPECT_FALSE(blob->has(3));
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
}

// A file that is shorter than recorded is as lost as one that is gone.
TEST_F(RecoveryTest, AShortFileIsAMiss) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  fs::resize_file(fixture_.dir.blob_files().at(0), kMiB);
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  EXPECT_EQ(blob->acquire({0, 100}).error().code(), Errc::kNotFound);
  EXPECT_EQ(blob->stripes_present(), 0U);
}

// Files without a row are removed behind the opening; those with one stay.
TEST_F(RecoveryTest, OrphanFilesAreRemoved) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  const std::string kept = fixture_.dir.blob_files().at(0);
  fs::copy_file(kept, fs::path(kept).parent_path() / (digest_of(1).hex() + ".0"));
  fs::create_directories(fixture_.dir.path() + "/blobs/zz");
  std::ofstream(fixture_.dir.path() + "/blobs/zz/rubbish") << "x";
  ASSERT_TRUE(fixture_.open());
  EXPECT_TRUE(wait_for([&] { return fixture_.dir.blob_files() == std::vector{kept}; }));
  EXPECT_TRUE(read_range(*store().lookup(digest_of(1)), {0, content_.size()}));
}

// A damaged index costs the contents, never a wrong byte: the store opens empty, the old files go, new blobs are kept.
TEST_F(RecoveryTest, ADamagedIndexStartsEmpty) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  for (const auto& entry : fs::directory_iterator(fixture_.dir.path() + "/index")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("MANIFEST")) overwrite(entry.path().string(), 10, "damage damage damage damage");
  }
  ASSERT_TRUE(fixture_.open());
  EXPECT_EQ(store().lookup(digest_of(1)), nullptr);
  EXPECT_TRUE(store().usage().writable);
  EXPECT_TRUE(wait_for([&] {
    for (const auto& entry : fs::directory_iterator(fixture_.dir.path())) {
      if (entry.path().filename().string().starts_with("trash-")) return false;
    }
    return fixture_.dir.blob_files().empty();
  }));
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.reopen();
  EXPECT_EQ(read_range(*store().lookup(digest_of(1)), {0, content_.size()}).value(), content_);
}

// Damage inside a table file, too, is found when the rows are read.
TEST_F(RecoveryTest, ADamagedTableFileStartsEmpty) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  int damaged = 0;
  for (const auto& entry : fs::directory_iterator(fixture_.dir.path() + "/index")) {
    if (entry.path().extension() != ".sst") continue;
    overwrite(entry.path().string(), 8, "damage damage damage");
    ++damaged;
  }
  ASSERT_GT(damaged, 0);
  ASSERT_TRUE(fixture_.open());
  EXPECT_EQ(store().lookup(digest_of(1)), nullptr);
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
}

// One daemon a directory: the second is refused, and told which process has it.
TEST_F(RecoveryTest, ASecondDaemonIsRefused) {
  MetricsRegistry metrics;
  const auto second = Store::open(fixture_.config, fixture_.clock, metrics);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Errc::kBusy);
  EXPECT_NE(second.error().what().find(std::to_string(::getpid())), std::string::npos) << second.error().what();
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
}

// The process that AKilledProcessKeepsWhatWasRecorded kills: this program once more, because threads do not survive a
// fork. It writes a blob, waits until that is recorded, begins another, says so on its descriptor 3 and waits for its
// end. Without a directory it has nothing to do.
TEST(KilledWriterTest, WritesUntilKilled) {
  const char* directory = std::getenv("OXBOW_KILLED_WRITER_DIRECTORY");
  if (directory == nullptr) return;
  Config config;
  config.directory = directory;
  config.floor_bytes = 0;
  MetricsRegistry metrics;
  SystemClock clock;
  const auto content = pattern(4 * kMiB, 1);
  auto store = Store::open(config, clock, metrics).value();
  ASSERT_TRUE(write_blob(*store, digest_of(1), content));
  std::this_thread::sleep_for(40 * IndexWriter::kDelay);  // a loaded machine is late with it
  ASSERT_TRUE(write_stripe(**store->reserve(digest_of(2), content.size()), 3, content));
  ASSERT_EQ(::write(3, "y", 1), 1);
  ::pause();
}

// A killed process loses at most what was not yet recorded: what the index says is trusted, and right.
TEST_F(RecoveryTest, AKilledProcessKeepsWhatWasRecorded) {
  fixture_.close();
  int pipe_fds[2];
  ASSERT_EQ(::pipe2(pipe_fds, O_CLOEXEC), 0);
  const std::string variable = "OXBOW_KILLED_WRITER_DIRECTORY=" + fixture_.dir.path();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::dup2(pipe_fds[1], 3);
    const char* argv[] = {"unit_storage", "--gtest_filter=KilledWriterTest.*", nullptr};
    const char* env[] = {variable.c_str(), nullptr};
    ::execve("/proc/self/exe", const_cast<char**>(argv), const_cast<char**>(env));
    ::_exit(127);
  }
  ::close(pipe_fds[1]);
  char answer = 0;
  ASSERT_EQ(::read(pipe_fds[0], &answer, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe_fds[0]);
  ASSERT_EQ(answer, 'y');
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  ASSERT_TRUE(blob);
  EXPECT_TRUE(blob->complete());
  EXPECT_EQ(read_range(*blob, whole(*blob)).value(), content_);
  if (const auto other = store().lookup(digest_of(2)); other && other->has(3)) {
    const ByteRange range = other->geometry().stripe(3);
    const auto bytes = read_range(*other, range).value();
    EXPECT_EQ(std::memcmp(bytes.data(), content_.data() + range.begin, range.size()), 0);
  }
}

// A directory that cannot be made is no error: the store opens, keeps nothing, and says so.
TEST(UnwritableTest, OpensWithNothingToKeep) {
  Config config;
  config.directory = "/proc/oxbow-cannot-be-here";
  SystemClock clock;
  MetricsRegistry metrics;
  const auto store = Store::open(config, clock, metrics);
  ASSERT_TRUE(store) << store.error().what();
  EXPECT_FALSE((*store)->usage().writable);
  EXPECT_EQ((*store)->reserve(digest_of(1), 1000).error().code(), Errc::kNoSpace);
  ASSERT_TRUE((*store)->put_small(digest_of(2), {.bytes = "x", .media_type = ""}));
  EXPECT_EQ((*store)->small(digest_of(2))->bytes, "x");
  std::promise<bool> promise;
  (*store)->table_get(Table::kTags, "k",
                      [&](std::optional<std::string> value) { promise.set_value(value.has_value()); });
  EXPECT_FALSE(promise.get_future().get());
}

// A path that is a file is a mistake in the config.
TEST(UnwritableTest, AFileIsNotADirectory) {
  TempDir dir;
  Config config;
  config.directory = dir.path() + "/file";
  std::ofstream(config.directory) << "x";
  SystemClock clock;
  MetricsRegistry metrics;
  EXPECT_EQ(Store::open(config, clock, metrics).error().code(), Errc::kInvalid);
}

// A directory of a newer format is refused, not dropped.
TEST_F(RecoveryTest, ANewerFormatIsRefused) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  {
    auto index = open_index(fixture_.dir.path() + "/index", true);
    ASSERT_TRUE(index);
    ASSERT_TRUE((*index)->apply({{Family::kMeta, "format", "2"}}, false));
  }
  EXPECT_EQ(fixture_.open().error().code(), Errc::kInvalid);
  EXPECT_EQ(fixture_.dir.blob_files().size(), 1U);
}

// After a crash of the host (another boot, no clean close) every stripe is checked by the scrub, at once and by itself.
TEST_F(RecoveryTest, ACrashedHostIsScrubbed) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  fixture_.close();
  {
    auto index = open_index(fixture_.dir.path() + "/index", true);
    ASSERT_TRUE((*index)->apply({{Family::kMeta, "clean", "0"}, {Family::kMeta, "boot_id", "another boot"}}, false));
  }
  overwrite(fixture_.dir.blob_files().at(0), 5, "damage");
  fixture_.config.scrub_bytes_per_second = 1ULL << 40;
  ASSERT_TRUE(fixture_.open());
  const auto blob = store().lookup(digest_of(1));
  EXPECT_TRUE(wait_for([&] { return !blob->has(0); }));
  EXPECT_EQ(blob->stripes_present(), 7U);
}

// A scrub on request finds what is wrong and reports it.
TEST_F(RecoveryTest, AScrubReportsAndDropsCorruptStripes) {
  ASSERT_TRUE(write_blob(store(), digest_of(1), content_));
  overwrite(fixture_.dir.blob_files().at(0), 3 * kMinStripeBytes, "damage");
  const auto report = store().scrub();
  EXPECT_EQ(report.stripes, 8U);
  EXPECT_EQ(report.bytes, content_.size());
  EXPECT_EQ(report.corrupt, 1U);
  EXPECT_FALSE(store().lookup(digest_of(1))->has(3));
}

}  // namespace
}  // namespace oxbow::storage

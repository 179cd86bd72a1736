// For the storage tests: a directory that goes away, a disk and an engine that fail on demand, and the small steps that
// every test takes.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "storage/store_impl.h"

namespace oxbow::storage {

inline constexpr std::uint64_t kMiB = 1024ULL * 1024;

class TempDir {
 public:
  /// In memory where the machine has it: the index syncs its files, which waits for whatever else the disk does.
  enum class Where { kMemory, kDisk };
  explicit TempDir(Where where = Where::kMemory);
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  /// The blob files there are, sorted.
  std::vector<std::string> blob_files() const;

 private:
  std::string path_;
};

/// What the faulty parts do next; shared, because the store owns the parts.
struct Faults {
  std::mutex mutex;
  std::deque<int> write_errors;          ///< one errno a write; 0: let it pass
  std::deque<std::size_t> short_writes;  ///< the next writes take at most this much
  std::deque<int> read_errors;
  std::deque<int> open_errors;
  std::deque<int> probe_errors;
  bool probe_fails = false;
  std::optional<DiskSpace> space;
  bool hold_writes = false;  ///< writes wait in `held`
  std::vector<std::move_only_function<void()>> held;
  std::atomic<int> reads = 0;
  std::atomic<int> writes = 0;
  std::atomic<int> punches = 0;
  std::atomic<int> removes = 0;

  void fail_next_write(int error);
  void fail_next_read(int error);
  void fail_next_open(int error);
  void hold();
  void let_go();
};

std::unique_ptr<Disk> faulty_disk(std::shared_ptr<Faults> faults);
std::unique_ptr<IoEngine> faulty_engine(std::shared_ptr<Faults> faults, std::unique_ptr<IoEngine> real);

/// A store in a temporary directory, with faults, that can be closed and opened again.
class StoreFixture {
 public:
  explicit StoreFixture(IoEngineKind engine = IoEngineKind::kThreads, TempDir::Where where = TempDir::Where::kMemory);
  ~StoreFixture();

  Result<> open();
  void close() { store.reset(); }
  void reopen();
  double metric(const std::string& line_begin) const;

  TempDir dir;
  Config config;
  ManualClock clock;
  std::shared_ptr<Faults> faults = std::make_shared<Faults>();
  std::unique_ptr<MetricsRegistry> metrics;
  std::unique_ptr<Store> store;
};

/// A store with a budget, and blobs that are written and used.
class BudgetTest : public ::testing::Test {
 protected:
  void open(std::uint64_t budget_bytes);
  Store& store() { return *fixture_.store; }
  void write(std::uint64_t seed, std::uint64_t bytes = kMiB);
  /// A minute later.
  void use(std::uint64_t seed);

  StoreFixture fixture_;
};

/// Bytes that differ at every offset and for every seed.
std::vector<std::byte> pattern(std::uint64_t size, std::uint64_t seed);
Digest digest_of(std::uint64_t seed);
/// Waits (generously) until `done` holds; the blob's progress wakes it.
bool wait_for(const std::function<bool()>& done);
/// Writes what is missing of a stripe and waits for its commit.
::testing::AssertionResult write_stripe(Blob& blob, std::uint32_t stripe, std::span<const std::byte> content);
::testing::AssertionResult write_blob(Store& store, const Digest& digest, std::span<const std::byte> content);
Result<> prepare(Blob& blob, ByteRange range);
/// prepare, acquire and pread.
Result<std::vector<std::byte>> read_range(Blob& blob, ByteRange range);
inline ByteRange whole(const Blob& blob) { return {0, blob.geometry().blob_bytes()}; }

}  // namespace oxbow::storage

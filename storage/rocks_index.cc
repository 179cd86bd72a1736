#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>

#include <array>

#include "storage/index.h"

namespace oxbow::storage {
namespace {

constexpr std::array<const char*, kFamilies> kNames = {"default", "blobs", "spans", "small", "small_info", "tables"};

// A small index on a node whose memory belongs to others (docs/decisions/0005-io-engines.md has the measured size).
constexpr std::size_t kWriteBufferBytes = 8ULL * 1024 * 1024;
constexpr std::size_t kBlockCacheBytes = 16ULL * 1024 * 1024;
constexpr std::size_t kArenaBlockBytes = 64ULL * 1024;
constexpr int kMaxOpenFiles = 256;
// A full write buffer becomes a table while the next one's log grows.
constexpr std::uint64_t kSpaceForIndexBytes = 2 * kWriteBufferBytes;

Error to_error(const rocksdb::Status& status, std::string_view doing) {
  const std::string what = std::string(doing) + ": " + status.ToString();
  if (status.IsNoSpace()) return {Errc::kNoSpace, what};
  if (status.IsIOError()) {
    if (what.find("Permission denied") != std::string::npos) return {Errc::kDenied, what};
    if (what.find("Read-only file system") != std::string::npos) return {Errc::kNoSpace, what};
    if (what.find("No space left") != std::string::npos) return {Errc::kNoSpace, what};
    // A file that the manifest names and that is not there.
    if (what.find("No such file") != std::string::npos) return {Errc::kCorrupt, what};
    return {Errc::kIo, what};
  }
  return {Errc::kCorrupt, what};
}

rocksdb::Options make_options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.paranoid_checks = true;
  options.write_buffer_size = kWriteBufferBytes;
  options.db_write_buffer_size = kWriteBufferBytes;
  options.arena_block_size = kArenaBlockBytes;
  options.max_write_buffer_number = 2;
  options.max_total_wal_size = kWriteBufferBytes;  // what a restart replays
  options.avoid_flush_during_recovery = true;
  options.max_background_jobs = 2;
  options.max_open_files = kMaxOpenFiles;
  options.max_file_opening_threads = 2;
  options.compression = rocksdb::kNoCompression;  // checksums and digests do not compress
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.keep_log_file_num = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCacheBytes, 1);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

class RocksIndex final : public Index {
 public:
  RocksIndex(std::unique_ptr<rocksdb::DB> db, std::vector<rocksdb::ColumnFamilyHandle*> families, std::string directory,
             bool writable)
      : db_(std::move(db)), families_(std::move(families)), directory_(std::move(directory)), writable_(writable) {}

  ~RocksIndex() override {
    if (log_failed_) {
      // Debian's RocksDB 7.8 is built with assertions, and one of them ends the process when a log that has failed a
      // write is closed (writable_file_writer.h, AssertFalseAndGetStatusForPrevError). The process is about to end
      // anyway; what the log has is replayed at the next start.
      static_cast<void>(db_.release());
      return;
    }
    for (auto* family : families_) db_->DestroyColumnFamilyHandle(family);
    db_->Close();
  }

  Result<> apply(const std::vector<IndexOp>& ops, bool sync) override {
    if (!writable_) return fail(Errc::kNoSpace, "the index is read-only");
    if (log_failed_) return fail(Errc::kNoSpace, "the index log has failed; a restart opens it again");
    if (!has_space()) return fail(Errc::kNoSpace, "too little free space for the index");
    rocksdb::WriteBatch batch;
    for (const auto& op : ops) {
      if (op.value) {
        batch.Put(at(op.family), slice(op.key), slice(*op.value));
      } else {
        batch.Delete(at(op.family), slice(op.key));
      }
    }
    rocksdb::WriteOptions options;
    options.sync = sync;
    const auto status = db_->Write(options, &batch);
    if (!status.ok()) {
      log_failed_ = true;
      return std::unexpected(to_error(status, "write index"));
    }
    return {};
  }

  Result<std::optional<std::string>> get(Family family, std::string_view key) override {
    std::string value;
    const auto status = db_->Get({}, at(family), slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return std::unexpected(to_error(status, "read index"));
    return value;
  }

  Result<> scan(Family family, std::string_view prefix,
                const std::function<bool(std::string_view, std::string_view)>& row) override {
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = 256UL * 1024;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, at(family)));
    for (it->Seek(slice(prefix)); it->Valid() && it->key().starts_with(slice(prefix)); it->Next()) {
      if (!row({it->key().data(), it->key().size()}, {it->value().data(), it->value().size()})) break;
    }
    if (!it->status().ok()) return std::unexpected(to_error(it->status(), "scan index"));
    return {};
  }

  Result<> flush() override {
    if (!writable_ || log_failed_) return {};
    if (!has_space()) return fail(Errc::kNoSpace, "too little free space for the index");
    const auto status = db_->Flush({}, families_);
    if (!status.ok()) return std::unexpected(to_error(status, "flush index"));
    return {};
  }

 private:
  rocksdb::ColumnFamilyHandle* at(Family family) const { return families_[static_cast<std::size_t>(family)]; }

  /// A log that fails once is lost for this run (see the destructor), so a disk that is nearly full is not tried.
  bool has_space() const {
    struct statvfs disk{};
    if (::statvfs(directory_.c_str(), &disk) != 0) return true;
    return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize >= kSpaceForIndexBytes;
  }

  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::string directory_;
  bool writable_;
  std::atomic<bool> log_failed_ = false;
};

}  // namespace

Result<std::unique_ptr<Index>> open_index(const std::string& directory, bool writable) {
  const rocksdb::Options options = make_options();
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  descriptors.reserve(kNames.size());
  for (const char* name : kNames) descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions(options));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  const auto status = writable ? rocksdb::DB::Open(options, directory, descriptors, &handles, &raw)
                               : rocksdb::DB::OpenForReadOnly(options, directory, descriptors, &handles, &raw);
  if (!status.ok()) return std::unexpected(to_error(status, "open index"));
  return std::make_unique<RocksIndex>(std::unique_ptr<rocksdb::DB>(raw), std::move(handles), directory, writable);
}

}  // namespace oxbow::storage

// Writes the index behind: changes are gathered and go out as one batch at most 100 ms later. Rows are made when the
// batch is made, so a row never says more than what is in the file at that time (data, then index).
//
// Thread rule: every method from any thread; only `flush`, `get` and the destructor block. Lifetime: the index outlives
// it. While the index cannot be written (full disk) blobs stay marked and are written later; other rows are kept up to
// kPendingBytesMax, then dropped and counted.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "core/digest.h"
#include "core/metrics.h"
#include "storage/index.h"

namespace oxbow::storage {

/// What the writer asks a blob for when it makes a batch.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual std::string blob_row() const = 0;
  /// Erased: what it still reports must not reach the rows of a new blob of the same digest.
  virtual bool gone() const noexcept = 0;
  /// Nothing: the span holds nothing worth a row.
  virtual std::optional<std::string> span_row(std::uint32_t span) const = 0;
};

class IndexWriter {
 public:
  static constexpr std::chrono::milliseconds kDelay{50};
  static constexpr std::uint64_t kPendingBytesMax = 16ULL * 1024 * 1024;

  /// `told` hears the result of each batch, on the writer's thread.
  IndexWriter(Index& index, Counter& dropped, std::function<void(const Result<>&)> told);
  /// Flushes.
  ~IndexWriter();
  IndexWriter(const IndexWriter&) = delete;
  IndexWriter& operator=(const IndexWriter&) = delete;

  void blob_changed(const Digest& digest, std::shared_ptr<const RowSource> blob);
  void span_changed(const Digest& digest, std::shared_ptr<const RowSource> blob, std::uint32_t span);
  /// The blob's row and those of its `spans` spans, once it is `gone`; what is marked afterwards belongs to a new blob
  /// of the same digest.
  void blob_erased(const Digest& digest, std::uint32_t spans);
  void put(Family family, std::string key, std::string value);
  void erase(Family family, std::string key);

  /// Sees what is pending before what is written.
  Result<std::optional<std::string>> get(Family family, const std::string& key);
  Result<> flush();
  /// The last batch could not be written.
  bool failing() const;

 private:
  using KeyOf = std::pair<Family, std::string>;
  struct PendingBlob {
    std::uint32_t erased_spans = 0;
    bool erased = false;
    bool row = false;
    std::shared_ptr<const RowSource> blob;
    std::set<std::uint32_t> spans;
  };
  struct Pending {
    std::unordered_map<Digest, PendingBlob, Digest::Hash> blobs;
    std::map<KeyOf, std::optional<std::string>> rows;
    std::uint64_t row_bytes = 0;
    bool empty() const { return blobs.empty() && rows.empty(); }
  };

  void run();
  void set(Family family, std::string key, std::optional<std::string> value);
  Result<> write_pending();
  static std::vector<IndexOp> make_ops(const Pending& pending);
  void put_back(Pending failed);

  Index& index_;
  Counter& dropped_;
  const std::function<void(const Result<>&)> told_;
  std::mutex writing_mutex_;  ///< one batch at a time; taken before mutex_
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Pending pending_;
  Pending writing_;  ///< being written: still to be seen by `get`
  bool failing_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace oxbow::storage

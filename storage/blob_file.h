// One blob: its sparse file, which stripes are in it, and who reads and writes it. The files of this class:
// blob_file.cc (reading, state), blob_write.cc (stripe writers), blob_prepare.cc (checksums, residency), blob_evict.cc
// (dropping).
//
// Thread rule: as storage/store.h. Locks: the store's before the blob's before a stripe's; the host is called without
// the blob's.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/arriving.h"
#include "storage/bitmap.h"
#include "storage/room.h"
#include "storage/rows.h"

namespace oxbow::storage {

/// An open descriptor, closed when the last user has gone.
class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

class BlobFile final : public Blob, public RowSource, public std::enable_shared_from_this<BlobFile> {
 public:
  BlobFile(Room& room, const Digest& digest, std::uint64_t size, std::uint64_t generation, bool recorded);

  // Blob
  const Digest& digest() const noexcept override { return digest_; }
  const Geometry& geometry() const noexcept override { return geometry_; }
  BlobState state() const noexcept override { return state_.load(std::memory_order_acquire); }
  bool has(std::uint32_t stripe) const noexcept override;
  std::uint32_t stripes_present() const noexcept override { return present_count_.load(std::memory_order_acquire); }
  std::optional<Checksum> stripe_checksum(std::uint32_t stripe) const override;
  std::uint64_t readable(std::uint64_t offset, std::uint64_t max) const noexcept override;
  Result<PinnedRange> acquire(ByteRange range) override;
  bool prepare(ByteRange range, std::move_only_function<void(Result<>)> done) override;
  std::unique_ptr<Subscription> on_progress(std::function<void()> wake) override {
    return waiters_.add(std::move(wake));
  }
  Result<std::unique_ptr<StripeWriter>> begin_stripe(std::uint32_t stripe) override;
  std::vector<std::string> midstates() const override;
  void add_midstate(std::uint32_t stripe, std::string midstate) override;
  void forget_midstates(std::uint32_t stripe) override;
  void set_verified() override;
  void drop_stripe(std::uint32_t stripe) override;
  bool gone() const noexcept override { return gone_.load(std::memory_order_acquire); }

  // RowSource
  std::string blob_row() const override;
  std::optional<std::string> span_row(std::uint32_t span) const override;

  // For the store.
  std::string path() const;
  std::uint64_t generation() const noexcept { return generation_; }
  /// What the index recorded; before anybody else has the blob. That of a span returns its stripes' bytes.
  void restore(const BlobRow& row);
  std::uint64_t restore(std::uint32_t span, const SpanRow& row);
  /// Pinned ranges, stripes being written, checks running: not to be evicted whole.
  bool active() const noexcept { return active_.load(std::memory_order_acquire) > 0; }
  /// Somebody reads or fetches it.
  bool waited_for() const { return !waiters_.empty(); }
  void keep(std::vector<ByteRange> ranges) override;
  /// The blob is forgotten: no new writers; what is open stays readable.
  void mark_gone();
  /// Opens the file for those who hold the blob, before it is unlinked. Blocks.
  void keep_open();
  /// Removes the file of a blob that is gone. Blocks.
  void unlink();
  /// Spans that can be evicted now, oldest use first.
  std::vector<std::uint32_t> evictable_spans() const;
  /// Bytes of its committed stripes.
  std::uint64_t span_bytes_present(std::uint32_t span) const;
  /// Drops the stripes of a span and returns their bytes, to be followed by `punch`. 0: not now.
  std::uint64_t evict_span(std::uint32_t span);
  /// Frees the span's part of the file. Blocks.
  void punch(std::uint32_t span);
  /// Reads a stripe and compares its checksum, `again` even if that was done before; drops it when it is wrong.
  void verify(std::uint32_t stripe, bool again, std::move_only_function<void(Result<>)> done);
  /// Not in the page cache; and: need not be there (after a scrub has read it).
  bool is_cold(std::uint32_t stripe) const;
  void cool(std::uint32_t stripe);
  /// Closes the file if nobody uses it. True: it is closed.
  bool close_if_idle();
  bool is_open() const;
  void wake() { waiters_.wake_all(); }
  void wake_soon();

  // The store's accounts, under the store's lock.
  struct Account {
    std::uint64_t stored_bytes = 0;
    bool listed = false;  ///< still in the store
    bool pinned = false;
    std::uint64_t last_used_s = 0;
    std::uint64_t counted_use_s = 0;  ///< the use that the eviction queue heard of last
    std::uint64_t last_used_written_s = 0;
  };
  Account account;
  std::atomic<bool> row_pinned = false;  ///< copies of the account for the index row
  std::atomic<bool> row_in_main = false;
  std::atomic<std::uint64_t> row_last_used_s = 0;

 private:
  friend class StripeWriterImpl;
  class Pin;
  struct Slot {
    std::shared_ptr<Arriving> arriving;
    bool has_writer = false;
    std::uint64_t admitted_bytes = 0;  ///< with the store: in flight
    std::uint64_t kept_bytes = 0;      ///< with the store: stored as an unfinished part
    bool discarded = false;            ///< goes as soon as nothing of it is on its way
    /// To where a reader may read.
    std::uint64_t readable_end() const { return discarded ? arriving->stripe().begin : arriving->watermark(); }
  };
  struct Check {
    std::vector<std::move_only_function<void(Result<>)>> waiters;
  };
  struct PrepareJob;

  ByteRange stripe_range(std::uint32_t stripe) const { return geometry_.stripe(stripe); }
  std::shared_ptr<OpenFile> opened() const;
  Result<std::shared_ptr<OpenFile>> open_file();
  Result<> lose_file(const Error& why);
  bool covers(ByteRange range) const;
  std::shared_ptr<const void> pin_spans(ByteRange range, std::shared_ptr<OpenFile> file);
  void unpin_spans(std::uint32_t first, std::uint32_t last);
  void touch(std::uint32_t span) { span_used_[span] = ++use_counter_; }

  // Writing.
  Result<std::unique_ptr<StripeWriter>> claim(std::uint32_t stripe, std::shared_ptr<Arriving>& arriving,
                                              std::uint64_t& to_admit, std::uint64_t& stored);
  void release_writer(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving);
  bool is_arriving(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving) const;
  void discard(std::uint32_t stripe);
  void wake_arena_soon();
  void fly(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving);
  void send(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving, std::shared_ptr<OpenFile> file);
  void landed(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving, std::int64_t result);
  void after_landing(std::uint32_t stripe, const std::shared_ptr<Arriving>& arriving, const Arriving::Landing& landing);
  void commit(std::uint32_t stripe, const Arriving& arriving);
  void settle_if_idle(std::uint32_t stripe);

  // Checking.
  bool ready_now(ByteRange range);
  void prepare_slowly(ByteRange range, std::move_only_function<void(Result<>)> done);
  void warm(const std::shared_ptr<PrepareJob>& job, const std::shared_ptr<OpenFile>& file);
  void checked(std::uint32_t stripe, const Checksum& found, Result<> read);
  bool drop_locked(std::uint32_t stripe);
  void mark_span(std::uint32_t span);

  Room& room_;
  const Digest digest_;
  const Geometry geometry_;
  const std::uint64_t generation_;
  std::atomic<BlobState> state_ = BlobState::kPartial;
  std::atomic<bool> gone_ = false;
  std::atomic<std::uint32_t> present_count_ = 0;
  std::atomic<std::uint32_t> active_ = 0;
  AtomicBitmap present_;
  AtomicBitmap checked_;  ///< its checksum has been compared (or computed) in this run
  std::unique_ptr<std::atomic<std::uint32_t>[]>
      resident_ms_;  ///< when the stripe was last seen in the page cache; 0: never

  std::mutex opening_mutex_;  ///< one opener; taken before mutex_
  mutable std::mutex mutex_;
  bool exists_;  ///< a file has been created
  std::shared_ptr<OpenFile> file_;
  std::vector<Checksum> checksums_;
  std::string midstates_;  ///< of stripes 1, 2, … one after the other
  std::map<std::uint32_t, Slot> slots_;
  std::map<std::uint32_t, Check> checks_;
  std::vector<std::uint32_t> span_pins_;
  std::vector<std::uint32_t> span_used_;
  std::vector<bool> span_punching_;
  std::vector<ByteRange> keep_;  ///< sorted, apart from each other
  std::uint32_t use_counter_ = 0;
  WakeList waiters_;
};

}  // namespace oxbow::storage

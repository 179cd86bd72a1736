// The store behind storage/store.h. The files of this class: store_impl.cc (calls), store_open.cc (opening, recovery,
// closing), store_space.cc (budget, floor, eviction), store_spans.cc (which span of the giants goes),
// store_evictions.cc (what would be evicted), store_upkeep.cc (ticks, scrub).
//
// Thread rule: as storage/store.h. Locks: `mutex_` before a blob's lock, never across a blocking call.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "storage/blob_file.h"
#include "storage/lock_file.h"
#include "storage/room.h"
#include "storage/s3_fifo.h"
#include "storage/small_bodies.h"
#include "storage/store.h"

namespace oxbow::storage {

/// What tests replace.
struct Parts {
  std::unique_ptr<Disk> disk;  ///< none: the real one
  /// Wraps the engine that the store has chosen.
  std::function<std::unique_ptr<IoEngine>(std::unique_ptr<IoEngine>)> wrap_engine;
};

class StoreImpl final : public Store, public BlobHost {
 public:
  StoreImpl(Config config, const Clock& clock, MetricsRegistry& metrics);
  ~StoreImpl() override;

  Result<> start(Parts parts);
  void close() override;
  std::shared_ptr<Blob> lookup(const Digest& digest) override;
  std::shared_ptr<Blob> peek(const Digest& digest) override;
  Result<std::shared_ptr<Blob>> reserve(const Digest& digest, std::uint64_t size) override;
  void purge(const Digest& digest) override;
  void pin(const Digest& digest, bool pinned) override;
  std::vector<BlobListing> list() const override;
  Usage usage() const override;
  std::uint64_t budget_bytes() const override;
  std::vector<Eviction> evictions(std::size_t limit) const override;
  std::string_view io_engine() const noexcept override { return engine_name_; }
  std::unique_ptr<Subscription> on_arena_space(std::function<void()> wake) override;
  std::shared_ptr<const SmallBody> small(const Digest& digest) override { return small_.find(digest); }
  void read_small(const Digest& digest, std::move_only_function<void(std::shared_ptr<const SmallBody>)> done) override;
  Result<> put_small(const Digest& digest, SmallBody body) override;
  void table_put(Table table, std::string key, std::string value) override;
  void table_erase(Table table, std::string key) override;
  void table_get(Table table, std::string key, std::move_only_function<void(std::optional<std::string>)> done) override;
  void table_scan(Table table, std::string_view prefix,
                  const std::function<bool(std::string_view, std::string_view)>& row) override;
  using Store::scrub;
  ScrubReport scrub(const ScrubProgress& progress) override;
  void set_span_rank(SpanRank rank) override;

  // BlobHost
  Result<> admit(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) override;
  void settle(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) override;
  void dropped(BlobFile& blob, std::uint64_t bytes) override;

 private:
  using Blobs = std::unordered_map<Digest, std::shared_ptr<BlobFile>, Digest::Hash>;

  // Opening.
  Result<> open_directory(bool& writable);
  Result<> choose_engine(Parts& parts);
  Result<> recover_index(bool writable);
  Result<> try_index(const std::string& path, bool writable);
  Result<> read_meta(bool writable);
  Result<> read_rows();
  void set_aside(const Error& why);
  void remove_orphans();
  bool keeps_file(std::string_view name) const;

  // Space. mutex_ is held.
  std::uint64_t free_estimate_locked() const;
  std::uint64_t charged_locked() const { return stored_bytes_ - pinned_bytes_ + reserved_bytes_; }
  std::uint64_t keepable_locked() const;
  /// `has_spans`: whether a giant has one that may go.
  std::optional<Digest> victim_locked(S3Fifo& queue, const BlobFile* wanting,
                                      const std::function<bool(const BlobFile&)>& has_spans) const;
  std::uint64_t evict_one_locked(const BlobFile* wanting);

  // Spans of giants. mutex_ is held.
  struct RankedSpan {
    double rank = 0;
    std::weak_ptr<BlobFile> blob;  ///< weak: a purged blob's space is freed
    std::uint32_t span = 0;
  };
  bool is_giant(const BlobFile& blob) const;
  /// Spares what is being read and what room is wanted for, unless it is its turn.
  bool may_lose_span_locked(const BlobFile& blob, const BlobFile& victim, const BlobFile* wanting) const;
  void rank_spans_locked(const BlobFile& victim, const BlobFile* wanting);
  std::uint64_t evict_span_locked(const std::shared_ptr<BlobFile>& blob, std::uint32_t span);
  /// `victim`'s turn has come. What goes is of whichever giant has the span that this node needs least.
  struct Gone {
    std::shared_ptr<BlobFile> blob;
    std::uint64_t bytes = 0;
  };
  Gone evict_span_for_locked(const std::shared_ptr<BlobFile>& victim, const BlobFile* wanting);
  void forget_locked(const std::shared_ptr<BlobFile>& blob);
  void account_locked(BlobFile& blob, std::int64_t delta);
  void remove_file(std::shared_ptr<BlobFile> blob, std::uint64_t bytes);
  void freed(std::uint64_t bytes);
  void use_locked(BlobFile& blob);
  std::uint64_t now_s() const;
  void trim_to_budget();
  void refresh_space();

  // Upkeep.
  void upkeep();
  void tick();
  void probe_disk();
  void close_idle_files();
  void save_uses();
  void forget_empty_blobs();
  void scrub_forever();
  bool scrub_stripe(const std::shared_ptr<BlobFile>& blob, std::uint32_t stripe, ScrubReport& report);
  bool scrub_slowly(ScrubReport& report);
  bool pause(std::chrono::milliseconds duration);
  std::vector<std::shared_ptr<BlobFile>> all_blobs() const;

  const Config config_;
  MetricsRegistry& metrics_;
  LockFile lock_;
  Room room_;
  std::string engine_name_;
  bool opened_writable_ = false;  ///< else nothing is ever written in this run
  bool suspect_ = false;          ///< the host went down unclean: the scrub begins at once
  std::string boot_id_;
  std::uint64_t run_ = 0;
  std::uint64_t scrubbed_at_ms_ = 0;
  SmallBodies small_;

  mutable std::mutex mutex_;
  Blobs blobs_;
  S3Fifo queue_;
  SpanRank span_rank_;
  std::vector<RankedSpan> spans_to_go_;  ///< the last goes first
  Clock::Steady spans_ranked_at_{};
  std::size_t ranked_from_ = 0;  ///< where the next sample of them begins
  std::uint64_t next_generation_ = 0;
  std::uint64_t budget_bytes_ = 0;
  std::uint64_t floor_bytes_ = 0;
  std::uint64_t stored_bytes_ = 0;
  std::uint64_t pinned_bytes_ = 0;
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t free_bytes_ = 0;          ///< as the file system said last
  std::uint64_t unlinking_bytes_ = 0;     ///< evicted, and the file system has not freed them yet
  std::int64_t since_refresh_bytes_ = 0;  ///< written (or dropped: negative) since then

  std::mutex stop_mutex_;
  std::condition_variable stop_changed_;
  bool stopping_ = false;
  std::thread upkeep_thread_;
  std::thread scrub_thread_;

  Gauge& stored_gauge_;
  Gauge& budget_gauge_;
  Gauge& free_gauge_;
  Counter& evicted_bytes_;
  Counter& budget_limit_;
  Counter& floor_limit_;
};

/// As Store::open, with parts replaced.
Result<std::unique_ptr<Store>> open_store(Config config, Parts parts, const Clock& clock, MetricsRegistry& metrics);

}  // namespace oxbow::storage

// The storage contract: blobs on disk in stripes, small bodies and tables in the index. Knows no network.
//
// A blob is one sparse file with its stripes at their natural offsets. The file is the buffer: a writer puts received
// bytes straight into it and advances the stripe's watermark; any number of readers read behind it.
//
// Thread rule: every method from any thread, none blocks (memory only) unless it says "blocks" or takes a callback;
// callbacks are called on a storage thread: post to your own loop. Lifetime: the store outlives its blobs' handles;
// handles (`shared_ptr<Blob>`) may outlive eviction: the file stays readable until the last one is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/geometry.h"
#include "core/metrics.h"
#include "core/sha.h"
#include "core/task.h"

namespace oxbow::storage {

enum class IoEngineKind { kAuto, kUring, kThreads };

struct Config {
  std::string directory = "/var/lib/oxbow";
  std::optional<std::uint64_t> budget_bytes;  ///< else budget_percent of the file system
  double budget_percent = 10;
  std::optional<std::uint64_t> floor_bytes;  ///< free space that is never crossed; else floor_percent
  double floor_percent = 5;
  IoEngineKind io_engine = IoEngineKind::kAuto;
  std::uint64_t scrub_bytes_per_second = 20ULL * 1024 * 1024;
  std::chrono::milliseconds scrub_interval{std::chrono::hours(24 * 7)};
  std::uint64_t write_arena_bytes =
      24ULL * 1024 * 1024;  ///< bytes accepted and not yet in a file; more: the writer waits
};

/// Bodies up to this size live in the index.
inline constexpr std::uint64_t kSmallBytes = 64ULL * 1024;

/// A pinned part of a blob's file: while `pin` lives, `fd` is open and the range is not evicted.
struct PinnedRange {
  int fd = -1;
  ByteRange range;
  std::shared_ptr<const void> pin;
};

/// When bytes that were taken go to the file.
enum class WriteWhen : std::uint8_t {
  kNow,
  /// With the next `kNow`, with the stripe's last byte, at `flush`, when the writer ends, or now after all where half
  /// of the write arena is in use.
  kLater,
};

/// The writer token of one stripe. A stripe has one writer at a time; destroying the token frees the stripe and keeps
/// the bytes written so far as its unfinished part (in memory's knowledge only: a restart forgets them). Thread rule:
/// one thread at a time; callbacks come on a storage thread.
class StripeWriter {
 public:
  virtual ~StripeWriter() = default;
  /// Where the next byte goes, relative to the blob: the stripe's begin, or further where an earlier writer stopped.
  virtual std::uint64_t position() const noexcept = 0;
  virtual ByteRange stripe() const noexcept = 0;
  /// Takes a copy of `bytes` (at most to the stripe's end) to be written at position(). False: the write arena is full,
  /// nothing was taken; `Blob::on_progress` subscribers and `Store::on_arena_space` say when to try again. When the
  /// last byte of the stripe is in the file the stripe commits by itself with its checksum, and the blob's subscribers
  /// are told. After a disk error everything is refused and `error()` says why.
  virtual bool write(std::span<const std::byte> bytes, WriteWhen when = WriteWhen::kNow) = 0;
  virtual void flush() = 0;
  virtual std::optional<Error> error() const = 0;
  /// The stripe has committed, also if it has been dropped or evicted since.
  virtual bool committed() const = 0;
  /// Nothing of the unfinished stripe is kept, whoever wrote it: it is not readable any more, and once nothing of it is
  /// on its way into the file the next writer begins at the stripe's begin (kBusy until then). Before the stripe's last
  /// byte; this writer takes no more.
  virtual void discard() = 0;
};

/// A subscription: destroying it guarantees that its callback is not running and will not run again.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

enum class BlobState : std::uint8_t {
  kPartial,   ///< stripes may be missing
  kVerified,  ///< all stripes have been there and hashed to the digest on this node (some may have been evicted since)
};

class Blob {
 public:
  virtual ~Blob() = default;

  virtual const Digest& digest() const noexcept = 0;
  virtual const Geometry& geometry() const noexcept = 0;
  virtual BlobState state() const noexcept = 0;

  /// Committed stripes.
  virtual bool has(std::uint32_t stripe) const noexcept = 0;
  virtual std::uint32_t stripes_present() const noexcept = 0;
  bool complete() const noexcept { return stripes_present() == geometry().stripes(); }
  virtual std::optional<Checksum> stripe_checksum(std::uint32_t stripe) const = 0;

  /// Contiguous bytes readable from `offset` on, at most `max`: committed stripes and the written part of arriving
  /// ones.
  virtual std::uint64_t readable(std::uint64_t offset, std::uint64_t max) const noexcept = 0;
  /// Pins bytes that `readable` has reported. Errors: kNotFound (evicted or lost since), kIo.
  virtual Result<PinnedRange> acquire(ByteRange range) = 0;
  /// Makes a range ready to be sent: stripes that this run of the process has not seen yet are read and their checksums
  /// compared; pages that are not resident are read (io_uring or pool). `done` with an error: kCorrupt (the bad stripes
  /// have been dropped and counted; fetch them again), kIo, kNotFound. Returns true, without calling `done`, when the
  /// range is ready now.
  virtual bool prepare(ByteRange range, std::move_only_function<void(Result<>)> done) = 0;

  /// `wake` after any change: bytes readable, stripe committed or lost, state, purge, write error. May come spuriously.
  virtual std::unique_ptr<Subscription> on_progress(std::function<void()> wake) = 0;

  /// The right to write a stripe. Errors: kBusy (it has a writer), kCancelled (already committed: nothing to do),
  /// kNotFound (blob purged), kNoSpace, kIo (disk failing or full: use a window instead).
  virtual Result<std::unique_ptr<StripeWriter>> begin_stripe(std::uint32_t stripe) = 0;

  /// Midstates: the hash state at the begin of stripe i (i = 0: the initial value, not stored). `midstates` has those
  /// known, contiguous from stripe 1. They are persisted with the index.
  virtual std::vector<std::string> midstates() const = 0;
  virtual void add_midstate(std::uint32_t stripe, std::string midstate) = 0;
  /// Forgets the midstate of `stripe` and of all after it: a stripe before it turned out wrong.
  virtual void forget_midstates(std::uint32_t stripe) = 0;
  /// The blob hashed to its digest on this node.
  virtual void set_verified() = 0;
  /// Drops one stripe (found wrong): it is missing again.
  virtual void drop_stripe(std::uint32_t stripe) = 0;
  /// True once the blob was purged or evicted whole; readers must look it up anew.
  virtual bool gone() const noexcept = 0;
  /// What those who wait on the blob need next: if it leaves by span, what lies in no such range goes first. Any
  /// thread.
  virtual void keep(std::vector<ByteRange> ranges) = 0;
};

struct SmallBody {
  std::string bytes;
  std::string media_type;  ///< of a manifest, as upstream gave it; empty for blobs
};

/// How much this node wants to keep a span of a blob that it cannot keep whole; the lowest goes first.
using SpanRank = std::function<double(const Digest& digest, std::uint32_t span)>;

/// Key/value tables in the index for other rooms, which own the encodings. Keys and values are bytes.
enum class Table : std::uint8_t { kTags, kGrants, kRepositories };

struct Usage {
  std::uint64_t stored_bytes = 0;
  std::uint64_t pinned_bytes = 0;
  std::uint64_t budget_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t floor_bytes = 0;
  std::uint64_t blobs = 0;
  std::uint64_t stripes = 0;
  bool writable = true;
};

struct BlobListing {
  Digest digest;
  std::uint64_t size = 0;
  std::uint64_t stored_bytes = 0;
  BlobState state = BlobState::kPartial;
  bool pinned = false;
};

struct ScrubReport {
  std::uint64_t stripes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t corrupt = 0;
};
/// Told after every stripe; false ends the scrub there.
using ScrubProgress = std::function<bool(const ScrubReport& so_far)>;

/// What would go: the whole of a blob, or of one that is kept by span so many bytes, from its first span's turn on.
struct Eviction {
  Digest digest;
  std::uint64_t bytes = 0;
};

class Store {
 public:
  /// Blocks. Takes the directory's lock, recovers the index (docs/disk-format.md). A directory that cannot be written
  /// is no error: the store opens with nothing to keep and `usage().writable` false. Errors: kBusy (another daemon has
  /// the directory; the message names its process), kInvalid (not a directory, or of a newer format).
  static Result<std::unique_ptr<Store>> open(Config config, const Clock& clock, MetricsRegistry& metrics);
  virtual ~Store() = default;
  /// Blocks: flushes the index and marks the directory clean. Everything fails afterwards.
  virtual void close() = 0;

  /// The blob, also when it is partial; counts as a use for eviction. Null: not here.
  virtual std::shared_ptr<Blob> lookup(const Digest& digest) = 0;
  /// The same without counting as a use: what is asked about a blob does not keep it.
  virtual std::shared_ptr<Blob> peek(const Digest& digest) = 0;
  /// The blob, created if it is not here; makes room by eviction. Errors: kNoSpace (cannot be kept at all: larger than
  /// what the budget or the free space can give; or the disk is full or read-only), kIo, kInvalid (size differs from
  /// the stored one).
  virtual Result<std::shared_ptr<Blob>> reserve(const Digest& digest, std::uint64_t size) = 0;
  /// Forgets the blob and its file. Open handles see `gone()`.
  virtual void purge(const Digest& digest) = 0;
  virtual void pin(const Digest& digest, bool pinned) = 0;
  /// For blobs that leave by span (storage/README.md); called under a lock, so it must not call the store. None: oldest
  /// use first, blob by blob.
  virtual void set_span_rank(SpanRank rank) = 0;
  virtual std::vector<BlobListing> list() const = 0;
  virtual Usage usage() const = 0;
  /// As in `usage`, without walking over the blobs.
  virtual std::uint64_t budget_bytes() const = 0;
  /// What would be evicted next, in that order, if room were needed now; at most `limit`. Nothing is evicted, and what
  /// is used or pinned meanwhile changes the order. Takes as long as `list`.
  virtual std::vector<Eviction> evictions(std::size_t limit) const = 0;
  virtual std::string_view io_engine() const noexcept = 0;

  /// Told (on a storage thread) when the write arena has space again after a refused write.
  virtual std::unique_ptr<Subscription> on_arena_space(std::function<void()> wake) = 0;

  /// Small bodies. `small` is a memory hit or nothing; `read_small` calls back with what the index has (verified
  /// against its checksum).
  virtual std::shared_ptr<const SmallBody> small(const Digest& digest) = 0;
  virtual void read_small(const Digest& digest,
                          std::move_only_function<void(std::shared_ptr<const SmallBody>)> done) = 0;
  /// Kept in memory at once, in the index within 100 ms. Bodies above kSmallBytes are refused with kLimit (manifests of
  /// up to 4 MiB are taken: they are stored in the index too).
  virtual Result<> put_small(const Digest& digest, SmallBody body) = 0;

  virtual void table_put(Table table, std::string key, std::string value) = 0;  ///< batched like everything else
  virtual void table_erase(Table table, std::string key) = 0;
  virtual void table_get(Table table, std::string key,
                         std::move_only_function<void(std::optional<std::string>)> done) = 0;
  /// Blocks; for start-up. Rows in key order, those begun with `prefix`; `row` returns false to stop.
  virtual void table_scan(Table table, std::string_view prefix,
                          const std::function<bool(std::string_view, std::string_view)>& row) = 0;

  /// Verifies every stripe at full speed now (the daemon's own scrub runs in idle time). Blocks.
  virtual ScrubReport scrub(const ScrubProgress& progress) = 0;
  ScrubReport scrub() {
    return scrub([](const ScrubReport&) { return true; });
  }
};

}  // namespace oxbow::storage

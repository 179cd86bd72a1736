// What the store's parts share: engines, disk, arena, index, pool, metrics; and what a blob asks of its store.
// Thread rule: see each part. Lifetime: outlives every blob handle.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "core/clock.h"
#include "core/digest.h"
#include "core/task.h"
#include "storage/arena.h"
#include "storage/disk.h"
#include "storage/health.h"
#include "storage/index_writer.h"
#include "storage/io_engine.h"
#include "storage/range_reader.h"

namespace oxbow::storage {

class BlobFile;

/// The store's side of a blob: room and accounts. Called without the blob's lock.
class BlobHost {
 public:
  virtual ~BlobHost() = default;
  /// Room for `bytes` that are about to be written, of which `stored` are already in the accounts. Evicts. Errors:
  /// kNoSpace, kIo.
  virtual Result<> admit(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) = 0;
  /// `bytes` that were admitted are no longer in flight; `stored` of them are in the file.
  virtual void settle(BlobFile& blob, std::uint64_t bytes, std::uint64_t stored) = 0;
  /// Stored bytes that are no longer kept.
  virtual void dropped(BlobFile& blob, std::uint64_t bytes) = 0;
};

struct Room {
  Room(const Clock& c, MetricsRegistry& registry, std::string dir, std::uint64_t arena_bytes)
      : clock(c),
        directory(std::move(dir)),
        health(directory, registry),
        arena(arena_bytes),
        arena_limit(limit_counter(registry, "storage.write_arena")),
        verify_failures(
            counter_family(registry, "oxbow_verify_failures_total", "Bytes that did not match, by where they came from")
                .Add({{"source", "storage"}})) {}

  /// A job for the pool; dropped when the store has been closed.
  void submit(Callback job) {
    if (!pool_closed.load()) pool->submit(std::move(job));
  }
  /// Milliseconds of the steady clock, never 0.
  std::uint32_t now_ms() const {
    return static_cast<std::uint32_t>(
               std::chrono::duration_cast<std::chrono::milliseconds>(clock.steady().time_since_epoch()).count()) |
           1U;
  }

  const Clock& clock;
  const std::string directory;
  DiskHealth health;
  WriteArena arena;
  Counter& arena_limit;
  Counter& verify_failures;
  std::atomic<bool> closed = false;                   ///< nothing new begins
  std::atomic<bool> pool_closed = false;              ///< the pool takes no more jobs
  std::atomic<std::uint32_t> flights = 0;             ///< writes on their way to a file
  std::atomic<std::uint32_t> last_foreground_ms = 0;  ///< when somebody last read or wrote: the scrub waits for silence
  BlobHost* host = nullptr;
  std::unique_ptr<Disk> disk;
  std::unique_ptr<Index> index;
  std::unique_ptr<IndexWriter> writer;  ///< none when the index cannot be written
  std::unique_ptr<WorkPool> pool;
  std::unique_ptr<IoEngine> engine;
  std::unique_ptr<RangeReader> reader;
};

}  // namespace oxbow::storage

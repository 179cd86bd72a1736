// Small bodies (manifests, configs, blobs up to 64 KiB): in the index, the ones used last also in memory. Their number
// and bytes are bounded; what S3-FIFO says goes first goes. Thread rule: every method from any thread; only `load`
// blocks.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/metrics.h"
#include "storage/index_writer.h"
#include "storage/rows.h"
#include "storage/s3_fifo.h"

namespace oxbow::storage {

class SmallBodies {
 public:
  struct Limits {
    std::uint64_t memory_bytes = 8ULL * 1024 * 1024;
    std::uint64_t index_bytes = 256ULL * 1024 * 1024;
    std::size_t count = 65'536;
  };

  SmallBodies(Limits limits, const Clock& clock, Counter& limit_hits)
      : limits_(limits), clock_(clock), limit_hits_(limit_hits) {}

  /// Recorded in the index; at start, before other threads.
  void restore(const Digest& digest, const SmallInfo& info);
  std::shared_ptr<const SmallBody> find(const Digest& digest);
  /// `writer` null: in memory only.
  void put(const Digest& digest, SmallBody body, IndexWriter* writer);
  void erase(const Digest& digest, IndexWriter* writer);
  void clear();
  bool recorded(const Digest& digest) const;
  /// From the index into memory. A body that fails its checksum is erased and counted in `verify_failures`. Blocks.
  std::shared_ptr<const SmallBody> load(const Digest& digest, Index* index, IndexWriter* writer,
                                        Counter& verify_failures);

 private:
  struct Cached {
    std::shared_ptr<const SmallBody> body;
    std::list<Digest>::iterator at;
  };
  static std::uint64_t bytes_of(const SmallBody& body) { return body.bytes.size() + body.media_type.size() + 256; }
  void cache_locked(const Digest& digest, std::shared_ptr<const SmallBody> body);
  void uncache_locked(const Digest& digest);
  void make_room_locked(std::uint64_t bytes, IndexWriter* writer);
  void erase_rows(const Digest& digest, IndexWriter* writer);

  const Limits limits_;
  const Clock& clock_;
  Counter& limit_hits_;
  mutable std::mutex mutex_;
  S3Fifo kept_;
  std::list<Digest> recent_;  ///< front: used last
  std::unordered_map<Digest, Cached, Digest::Hash> cache_;
  std::uint64_t cache_bytes_ = 0;
};

}  // namespace oxbow::storage

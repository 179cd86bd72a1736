// Blobs that are in the store only because peers asked for them along a path (`fingers`): no client of this node has
// asked for them, so nobody vouches for their sizes. What they may take together is bounded, and one of which nothing
// came goes with the request that failed. Part of mirror/blobs.
// Thread rule: one thread at a time (under the lock of Blobs); uses end on any thread. Lifetime: as Blobs.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <unordered_map>

#include "core/digest.h"

namespace oxbow::mirror {

class RelayedBlobs {
 public:
  /// A blob weighs its stripes and this; a stripe takes some 25 bytes of memory while its blob is fetched.
  static constexpr std::uint64_t kBlobWeight = 256;
  static constexpr std::uint64_t kMaxWeight = 4ULL * 1024 * 1024;
  /// Held by each request on a blob; null: it is not one of these.
  using Use = std::shared_ptr<const char>;
  /// False: something else uses the blob.
  using Drop = std::function<bool(const Digest&)>;

  explicit RelayedBlobs(std::uint64_t max_weight = kMaxWeight) : max_weight_(max_weight) {}

  /// Makes room by dropping the oldest ones that no request uses. False: there is none.
  bool add(const Digest& digest, std::uint32_t stripes, const Drop& drop);
  Use use(const Digest& digest) const;
  /// It is one of these, and no request uses it.
  bool is_idle(const Digest& digest) const;
  /// True: it was one of these.
  bool remove(const Digest& digest);

 private:
  struct Entry {
    Digest digest;
    std::uint64_t weight;
    Use used;
  };

  const std::uint64_t max_weight_;
  std::uint64_t weight_ = 0;
  std::list<Entry> by_age_;  ///< the oldest first
  std::unordered_map<Digest, std::list<Entry>::iterator, Digest::Hash> by_digest_;
};

}  // namespace oxbow::mirror

// What is known of a digest from the manifests that named it: in which repositories it is, and its size there (design
// section 6). It chooses an upstream when a request names none, and commits response headers before any source has
// answered. Membership is one half of access (section 10); alone it authorises nothing.
// Sizes are kept by repository, because a manifest may claim anything.
// Thread rule: all methods from any thread. Lifetime: the store outlives it.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/digest.h"
#include "core/task.h"
#include "mirror/grants.h"
#include "storage/store.h"

namespace oxbow::mirror {

struct DigestFacts {
  struct Place {
    RepositoryKey repository;
    std::optional<std::uint64_t> size;
  };
  std::vector<Place> places;  ///< the last one seen is last

  const Place* in(const RepositoryKey& repository) const;
  std::string encode() const;
  static DigestFacts decode(std::string_view text);
};

class DigestMemory {
 public:
  static constexpr std::size_t kMaxPlaces = 32;      ///< repositories remembered of one digest
  static constexpr std::size_t kMaxCached = 32'768;  ///< digests in memory; the index has them all

  explicit DigestMemory(storage::Store& store) : store_(store) {}

  struct Membership {
    bool belongs = false;
    std::optional<std::uint64_t> size;
  };
  /// Whether a digest is known to be in a repository, and its size there.
  Task<Membership> membership(Digest digest, const RepositoryKey& repository);
  Task<DigestFacts> recall(Digest digest);
  /// Where each of `digests` is, in their order. Blocks, and leaves the memory's order alone: for lists, not requests.
  std::vector<DigestFacts> look_up(const std::vector<Digest>& digests);
  Task<> remember(Digest digest, RepositoryKey repository, std::optional<std::uint64_t> size);
  /// The size that was claimed turned out wrong.
  Task<> forget_size(Digest digest, RepositoryKey repository);

 private:
  using Entry = std::pair<Digest, DigestFacts>;

  std::optional<DigestFacts> cached(const Digest& digest);
  std::optional<Membership> cached_membership(const Digest& digest, const RepositoryKey& repository);
  void cache(const Digest& digest, DigestFacts facts);
  Task<> change(Digest digest, RepositoryKey repository, std::optional<std::uint64_t> size, bool keep_size);

  storage::Store& store_;
  std::mutex mutex_;
  std::list<Entry> recent_;  ///< most recent first
  std::unordered_map<Digest, std::list<Entry>::iterator, Digest::Hash> by_digest_;
};

}  // namespace oxbow::mirror

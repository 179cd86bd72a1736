// The blobs that a coordinator knows, by digest and size, and the bounds on them. Part of p2p/coordinator.
// Nodes that say another size of a digest are a swarm of their own: one that has it wrong, by a manifest's word or
// because it lies, is in nobody's way.
// Thread rule and lifetime: as the coordinator's. References last until the blob is forgotten: by `heard` and
// `keep_if`, but never the one last heard of.
#pragma once

#include <compare>
#include <cstdint>
#include <list>
#include <map>

#include "core/digest.h"
#include "p2p/blob_members.h"

namespace oxbow::p2p {

class CoordinatorBlobs {
 public:
  struct Limits {
    std::size_t blobs = 0;
    std::size_t stripes = 0;  ///< of all of them
  };
  CoordinatorBlobs(Limits limits, LeaseSpans spans) : limits_(limits), spans_(spans) {}

  BlobMembers* find(const Digest& digest, std::uint64_t size);
  /// Of whatever size: the one with the most members.
  BlobMembers* find_any(const Digest& digest);
  /// It leaves the digest's swarms of all sizes.
  void remove_member(const Digest& digest, PeerId peer);
  /// Known from now on, and the one last heard of. `size`: not 0.
  BlobMembers& heard(const Digest& digest, std::uint64_t size, Time now);

  template <typename Visit>
  void each(Visit visit) {
    for (auto& entry : by_age_) visit(entry.blob);
  }
  /// Those of which `keep` says false are forgotten.
  template <typename Keep>
  void keep_if(Keep keep) {
    for (auto entry = by_age_.begin(); entry != by_age_.end();) {
      if (keep(entry->blob))
        ++entry;
      else
        entry = forget(entry);
    }
  }
  std::size_t size() const noexcept { return by_key_.size(); }

 private:
  struct Key {
    Digest digest;
    std::uint64_t size;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    Key key;
    BlobMembers blob;
  };
  using Entries = std::list<Entry>;

  template <typename Visit>
  void each_size(const Digest& digest, Visit visit);
  Entries::iterator forget(Entries::iterator entry);

  const Limits limits_;
  const LeaseSpans spans_;
  Entries by_age_;  ///< longest unheard of first
  std::map<Key, Entries::iterator> by_key_;
  std::size_t stripes_ = 0;
};

}  // namespace oxbow::p2p

// The blobs that a coordinator knows, by digest and size, and the bounds on them. Part of p2p/coordinator.
// Nodes that say another size of a digest are a swarm of their own: one that has it wrong, by a manifest's word or
// because it lies, is in nobody's way.
// Thread rule and lifetime: as the coordinator's. References last until the blob is forgotten: by `heard`, `make_room`
// and `keep_if`, the first two never the one last heard of.
#pragma once

#include <compare>
#include <cstdint>
#include <list>
#include <map>
#include <unordered_map>

#include "core/digest.h"
#include "p2p/blob_members.h"
#include "p2p/coordinator.h"

namespace oxbow::p2p {

class CoordinatorBlobs {
 public:
  struct Limits {
    std::size_t blobs = 0;
    std::size_t bytes = 0;  ///< of all of them, as BlobMembers::bytes counts
  };
  CoordinatorBlobs(Limits limits, LeaseSpans spans) : limits_(limits), spans_(spans) {}

  BlobMembers* find(const Digest& digest, std::uint64_t size);
  /// Of whatever size: the one with the most members.
  BlobMembers* find_any(const Digest& digest);
  /// It leaves the digest's swarms of all sizes.
  void remove_member(const Digest& digest, PeerId peer);
  /// Known from now on, and the one last heard of. `size`: not 0. `from`: who is charged with it if it was not known.
  BlobMembers& heard(const Digest& digest, std::uint64_t size, PeerId from, Time now);

  /// After a change of the one last heard of: the others make room for it. One that is larger than the limit is known
  /// alone. Whoever announces many large blobs that nobody has takes no more memory than this.
  void make_room();
  template <typename Visit>
  void each(Visit visit) {
    for (auto& entry : by_age_) {
      visit(entry.blob);
      recount(entry);
    }
  }
  /// Those of which `keep` says false are forgotten.
  template <typename Keep>
  void keep_if(Keep keep) {
    for (auto entry = by_age_.begin(); entry != by_age_.end();) {
      const bool kept = keep(entry->blob);
      recount(*entry);
      entry = kept ? std::next(entry) : forget(entry);
    }
  }
  std::size_t size() const noexcept { return by_key_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }
  /// Blobs that a limit has pushed out, so far.
  CoordinatorForgotten forgotten() const noexcept { return forgotten_; }

 private:
  struct Key {
    Digest digest;
    std::uint64_t size;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    Key key;
    BlobMembers blob;
    PeerId introduced_by = kNoPeer;
    std::size_t counted = 0;  ///< of bytes_
  };
  struct Introduced {
    std::size_t blobs = 0;
    std::size_t bytes = 0;
  };
  using Entries = std::list<Entry>;

  template <typename Visit>
  void each_size(const Digest& digest, Visit visit);
  void recount(Entry& entry);
  /// Of those before `end`, which is not the first.
  Entries::iterator to_forget(PeerId introducer, Entries::iterator end);
  Entries::iterator forget(Entries::iterator entry);

  const Limits limits_;
  const LeaseSpans spans_;
  Entries by_age_;  ///< longest unheard of first
  std::map<Key, Entries::iterator> by_key_;
  std::size_t bytes_ = 0;
  std::unordered_map<PeerId, Introduced> introduced_;
  CoordinatorForgotten forgotten_;
};

}  // namespace oxbow::p2p

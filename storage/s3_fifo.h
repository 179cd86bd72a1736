// Which blob goes next: S3-FIFO over bytes (Yang et al., SOSP'23) with one bit of frequency: a small queue of 10 % that
// new keys pass through once, a main queue, and a ghost list of keys that left the small queue unused. A rollout is a
// scan: it passes the small queue and leaves what is used often alone. Thread rule: one thread at a time. Knows nothing
// but keys and sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>

#include "core/digest.h"

namespace oxbow::storage {

class S3Fifo {
 public:
  /// A key that is not there yet; `in_main` puts it back where a former run had it.
  void insert(const Digest& key, std::uint64_t bytes, bool in_main = false);
  void erase(const Digest& key);
  void hit(const Digest& key);
  /// Adds to (or takes from) the key's bytes; unknown keys are ignored.
  void resize(const Digest& key, std::int64_t delta);
  /// The same queues without the ghosts: what would happen to them can be tried on it.
  S3Fifo copy() const;
  bool contains(const Digest& key) const { return entries_.contains(key); }
  bool in_main(const Digest& key) const;
  std::uint64_t bytes() const noexcept { return small_.bytes + main_.bytes; }
  std::size_t size() const noexcept { return entries_.size(); }

  /// The key to evict now, among those for which `may_evict`; it stays in its queue until `erase`. Nothing: none may.
  std::optional<Digest> victim(const std::function<bool(const Digest&)>& may_evict);
  /// After evicting a key from the small queue: remembers it, so that its return goes to the main queue.
  void remember(const Digest& key);

 private:
  struct Entry {
    Digest key;
    std::uint64_t bytes;
    bool in_main;
    bool hit;
  };
  using List = std::list<Entry>;
  struct Queue {
    List list;  ///< front: newest
    std::uint64_t bytes = 0;
  };

  std::optional<Digest> victim_of_small(const std::function<bool(const Digest&)>& may_evict);
  std::optional<Digest> victim_of_main(const std::function<bool(const Digest&)>& may_evict);
  void move_to_front(Queue& from, Queue& to, List::iterator entry);

  Queue small_;
  Queue main_;
  std::unordered_map<Digest, List::iterator, Digest::Hash> entries_;
  std::list<Digest> ghosts_;  ///< front: newest
  std::unordered_map<Digest, std::list<Digest>::iterator, Digest::Hash> ghost_index_;
};

}  // namespace oxbow::storage

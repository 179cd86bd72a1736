// What a coordinator knows of one blob: its members (who wants it, who holds what) and its leases. Part of
// p2p/coordinator. Plain state with the counts that answers are made from, so that no answer looks at every member.
// Thread rule: as the coordinator's. Lifetime: one a blob that the coordinator knows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/geometry.h"
#include "p2p/lease_spans.h"
#include "p2p/longest_wait.h"
#include "p2p/peer_table.h"
#include "p2p/protocol/messages.h"
#include "p2p/random.h"
#include "p2p/strategy.h"

namespace oxbow::p2p {

struct BlobMember {
  Interest interest = Interest::kWanting;
  bool may_fetch = false;
  bool complete = false;          ///< then `have` is empty: most members of an old blob are
  bool suspect = false;           ///< overdue and reported as unreachable: not counted until it announces again
  bool absent = false;            ///< from the view: not counted until it is back, by the word that it gave before
  bool was_absent = false;        ///< since its last word
  std::uint64_t incarnation = 0;  ///< of the process that gave it; 0: unknown
  HaveMap have;
  Time heard{0};
  Time slow_until{0};       ///< its leases crawled: others are asked first
  Time refused_since{0};    ///< asks in vain since, because it is slow; 0: it does not
  std::uint32_t named = 0;  ///< how often it was named to others as a neighbour
  std::uint32_t place = 0;  ///< in BlobMembers::order

  bool counts() const noexcept { return !suspect && !absent && interest != Interest::kLeft; }
};

/// A span that one member holds and others ask for.
struct BlobWish {
  std::uint32_t span = 0;
  Time since{0};
  Time looked{0};  ///< when it was last looked for at all members
};
/// A lease that ended before its span was complete.
struct BlobRest {
  std::uint32_t span = 0;
  PeerId holder = kNoPeer;  ///< has a part of it
};

struct BlobLease {
  std::uint32_t span = 0;
  PeerId holder = kNoPeer;
  Time granted{0};
  Time begun{0};    ///< when its first bytes were told of; 0: not yet
  Time expires{0};  ///< unless its holder's last word came before
  std::uint64_t bytes_at_grant = 0;
  std::uint64_t bytes = 0;

  /// Its speed counts from the first byte, not from the wait for it.
  Time judged_from() const noexcept { return std::max(granted, begun); }
};

class BlobMembers {
 public:
  /// `blob_bytes`: not 0.
  BlobMembers(LeaseSpans spans, std::uint64_t blob_bytes);

  BlobMember* find(PeerId id);
  const BlobMember* find(PeerId id) const;
  BlobMember& add(PeerId id, Time now);
  void remove(PeerId id);
  /// Takes an announcement's interest and map over.
  void update(BlobMember& member, const Announce& announce, Time now);
  /// It serves nobody any more: what it has counts for nothing.
  void withdraw(PeerId id);
  /// Its map counts no more until it is heard again; its leases end.
  void suspect(PeerId id);
  /// While it is, its map does not count; its leases end.
  void set_absent(PeerId id, bool absent);
  /// It has been absent, and came back as a process that need not have what the one before had.
  bool is_another(PeerId id, std::uint64_t incarnation) const;
  /// Makes room: a random holder, or a random wanter when all are; not one that holds a lease, if it can be helped.
  void drop_one(Random& random);

  /// Whether every stripe of the span is at the asker or at some member, those of `without` not counted.
  bool held(std::uint32_t span, PeerId asker, std::span<const PeerId> without) const noexcept;
  bool holds(const BlobMember& member, std::uint32_t span) const noexcept;
  /// How much of the span that member has by its map.
  std::uint64_t bytes_held(const BlobMember& member, std::uint32_t span) const noexcept;
  /// More than half of the span's stripes are at one member only, and nobody has all of the blob.
  bool is_rare(std::uint32_t span) const noexcept;
  /// Of a rare span: a member that holds all of it. Looks at every member.
  BlobMember* keeps_alone(std::uint32_t span);
  std::uint32_t wanters() const noexcept { return wanters_; }
  std::uint32_t fetchers() const noexcept { return fetchers_; }
  std::uint32_t spans() const noexcept { return lease_spans_.count(stripes_); }
  std::uint32_t stripes() const noexcept { return stripes_; }
  /// `span`: one of the blob.
  std::uint64_t span_bytes(std::uint32_t span) const noexcept {
    const auto whole = lease_spans_.bytes(Geometry(blob_bytes));
    return std::min(whole, blob_bytes - span * whole);
  }
  /// What grows with the stripes: counts, maps, midstates.
  std::size_t bytes() const noexcept;
  std::size_t size() const noexcept { return order_.size(); }
  PeerId at(std::size_t place) const noexcept { return order_[place]; }

  BlobLease* lease_of(std::uint32_t span);
  std::uint32_t leases_of(PeerId holder) const noexcept;
  void end_lease(std::uint32_t span);
  void end_leases_of(PeerId holder);
  /// Who holds what of it is remembered: whoever gets the next lease of the span is told.
  void part_lease(const BlobLease& lease);
  /// Forgets it, too.
  PeerId take_rest(std::uint32_t span);

  const std::uint64_t blob_bytes;
  std::vector<BlobLease> leases;
  std::vector<BlobWish> wishes;
  std::vector<BlobRest> rests;
  std::uint32_t leased_again = 0;  ///< spans that somebody holds
  double lease_rate = 0;           ///< EWMA of the bytes per second of leases; 0: none has ended yet
  LongestWait late;                ///< by how long wanters were late to announce
  double first_byte_ms = 0;        ///< EWMA of what leases waited for their first bytes; 0: all of them do
  std::optional<MidstateList> midstates;
  Time learned{0};
  Time heard{0};
  Time took_over{-60'000};  ///< when the first came over from another coordinator
  Time settle_until{0};
  std::uint32_t awaited = 0;  ///< wanters after a take-over, by their word: all has been claimed once so many are here
  Time swept{0};              ///< when silent members were last looked for

 private:
  void count(const BlobMember& member, std::int32_t sign);
  void count_stripes(const HaveMap& have, std::int32_t sign);

  const LeaseSpans lease_spans_;
  const std::uint32_t stripes_;
  std::unordered_map<PeerId, BlobMember> members_;
  std::size_t have_bytes_ = 0;                 ///< of the members' maps
  std::vector<PeerId> order_;                  ///< for random picks
  std::vector<std::uint32_t> stripe_holders_;  ///< without the complete members; empty: no other has anything
  std::uint32_t complete_ = 0;
  std::uint32_t wanters_ = 0;
  std::uint32_t fetchers_ = 0;  ///< wanters that may fetch from upstream
};

}  // namespace oxbow::p2p

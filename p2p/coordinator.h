// The server half of the swarm: where holders, wanters and leases of a blob meet. The ring names a blob's coordinator;
// a node that is asked as one acts as one. Soft state, rebuilt from announcements; pure: a time and a message go in, an
// answer comes out. The rules with their numbers: docs/decisions/0007-swarm.md.
// Thread rule: one thread at a time. Lifetime: one a node.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "p2p/peer_table.h"
#include "p2p/protocol/messages.h"
#include "p2p/strategy.h"

namespace oxbow::p2p {

struct CoordinatorOptions {
  std::uint32_t neighbours = 32;       ///< half of the asker's own tier, half random
  std::uint32_t parallel_leases = 12;  ///< of one blob in the cluster
  std::uint32_t shared_leases = 8;     ///< of them are shared out among fewer wanters than that
  std::uint32_t leases_per_node = 6;   ///< as many as a node fetches spans in parallel
  /// One lease a node while the blob has been known for less than this, two for less than twice as long, and so on: in
  /// a rollout the others are about to come, and what one node has alone has one uplink to leave by. Not for a node
  /// without any others.
  std::chrono::milliseconds another_lease{250};
  std::uint32_t span_stripes = kStripesPerSpan;  ///< that one lease is for (p2p/lease_spans.h)
  std::chrono::milliseconds lease_min{2'000};
  std::chrono::milliseconds again_min{200};         ///< between a wanter's announcements, while few want the blob
  std::chrono::milliseconds again{1'000};           ///< between a wanter's announcements
  std::chrono::milliseconds again_holder{300'000};  ///< between a holder's
  std::chrono::milliseconds fresh_for{5'000};       ///< after its own start, for blobs that it learns of
  std::chrono::milliseconds settle{1'200};  ///< after a take-over nothing new is granted: holders claim theirs first
  std::size_t blobs = 65'536;  ///< known at most, one of two sizes counted twice; the one longest unheard of goes
                               ///< first, its own where a member has introduced more than a quarter of the limit
  /// Of all of them; the same goes first. Once somebody has a part of a blob, a stripe takes 4, 80 more (sha512: 112)
  /// where midstates are known, and an eighth of a byte for each member that has a part of the blob. Members themselves
  /// have the bounds below.
  std::size_t memory_bytes = 128UL * 1024 * 1024;
  /// Remembered at most; random ones go first, wanters last. One that fetches and is forgotten is given what others
  /// hold, so it is more than the nodes of the largest cluster; 250 bytes each.
  std::size_t members_per_blob = 131'072;
  std::size_t holders_per_blob = 512;  ///< of them; a node that fetches finds enough in fewer
};

/// Blobs forgotten although they had members, by the limit that was hit.
struct CoordinatorForgotten {
  std::uint64_t for_blobs = 0;
  std::uint64_t for_memory = 0;
};

class Coordinator {
 public:
  Coordinator(CoordinatorOptions options, std::uint64_t seed, Time started);
  ~Coordinator();

  /// An announcement is one of a blob of its size: nodes that say different sizes do not meet. Without a size it is a
  /// question, not that of a member. What a peer says that is suspended or revoked in `peers`, or not in it, is not
  /// taken: it is told of others, and is neither a member nor given a lease.
  AnnounceReply on_announce(Time now, PeerId from, const Announce& announce, const PeerSnapshot& peers);
  /// Ends leases and members that went silent.
  void tick(Time now, const PeerSnapshot& peers);
  /// A list of midstates was found false, or its publisher was suspended: forget what it published.
  void forget_publisher(std::string_view name);

  std::size_t blobs() const noexcept;
  std::size_t leases() const noexcept;
  /// As CoordinatorOptions::memory_bytes counts.
  std::size_t memory_bytes() const noexcept;
  /// Since the start.
  CoordinatorForgotten forgotten() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace oxbow::p2p

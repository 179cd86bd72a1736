// When a lease is over, a member overdue and a holder too slow: how a coordinator judges what it is told and what it is
// not told. Part of p2p/coordinator. The numbers and what was measured with others: docs/decisions/0007-swarm.md.
// Thread rule: constant; `note_lateness` as the blob that it writes to. Lifetime: within the coordinator's options.
#pragma once

#include <chrono>

#include "p2p/blob_members.h"
#include "p2p/coordinator.h"
#include "p2p/lease_spans.h"

namespace oxbow::p2p {

class LeaseRules {
 public:
  LeaseRules(const CoordinatorOptions& options, LeaseSpans spans) : options_(options), spans_(spans) {}

  /// How long a lease goes on without progress. Several times what a span takes, and what a registry thinks before it
  /// answers: there is more than one request in a lease where not all of it was wanted, or missing, at first.
  std::chrono::milliseconds ttl(const BlobMembers& blob) const;
  /// Until a member is to announce again.
  std::chrono::milliseconds again(const BlobMembers& blob, const BlobMember& member) const;
  /// Somebody cannot reach a member that should have announced by now; `gone`: its connections broke.
  bool is_missed(const BlobMembers& blob, const BlobMember& member, bool gone, Time now) const;
  /// A member announces: how much later than it was told to.
  void note_lateness(BlobMembers& blob, const BlobMember& member, Time now) const;
  /// Without progress, by its holder's own last word, or without a word. Before the first byte of anybody nothing is
  /// known of how long this registry thinks, and the next holder would wait as long.
  bool has_ended(const BlobMembers& blob, const BlobLease& lease, Time now) const;
  /// Slow is not dead, but a lease is for the whole cluster: somebody else takes what is missing. Before a span has
  /// come whole, all that is known is how unevenly a full link treats its connections at first.
  bool is_too_slow(const BlobMembers& blob, const BlobLease& lease, Time now) const;

 private:
  bool is_overdue(const BlobMembers& blob, const BlobMember& member, std::chrono::milliseconds at_least,
                  Time now) const;
  static bool crawls(const BlobMembers& blob, const BlobLease& lease, Time now);

  const CoordinatorOptions& options_;
  const LeaseSpans spans_;
};

}  // namespace oxbow::p2p

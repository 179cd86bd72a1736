// The fingers of one key: who passes requests for it on. b = ceil(N^(1/3)) for N members; V * b level-2 peers and under
// each of them b level-1 peers, one a slot. A slot is a key of its own on the ring: its peer is the first in the walk
// that no earlier slot has, by membership alone, so that all nodes agree; while that one is dead its place is taken by
// the next live peer of the same walk. In a small cluster there are fewer slots than that, as many as there are peers.
// What was taken from the seed protocol and what differs: docs/decisions/0008-fingers.md.
// Thread rule: immutable. Lifetime: shares the snapshot.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "p2p/peer_table.h"
#include "p2p/random.h"

namespace oxbow::p2p {

class FingerTable {
 public:
  static constexpr std::uint32_t kSpread = 2;  ///< V
  using Live = std::function<bool(const Peer&)>;
  /// How near a peer is to whoever chooses; more is nearer.
  using Near = std::function<std::uint32_t(const Peer&)>;

  /// `peers` must have members.
  FingerTable(std::shared_ptr<const PeerSnapshot> peers, Key key, std::uint32_t spread = kSpread);

  /// b: at least 2.
  static std::uint32_t fan_out(std::size_t members) noexcept;

  /// Indexes into the snapshot's peers, by slot, whether they live or not.
  std::uint32_t owner() const noexcept { return owner_; }
  const std::vector<std::uint32_t>& level2() const noexcept { return level2_; }
  std::vector<std::uint32_t> level1(std::uint32_t slot) const;

  /// The first live peer of the key's ring walk: the owner, or who stands in for it. Null: nobody lives.
  const Peer* live_owner(const Live& live) const;

  /// A way to the owner: two peers at most, null where a level has none that lives.
  struct Route {
    const Peer* h2 = nullptr;
    const Peer* h1 = nullptr;
  };
  /// Tier sampling, seen from this node: uniformly among the live level-2 peers of the nearest tier (this node itself
  /// is nearer than any other), then likewise a level-1 peer under it; with probability `jitter` any of them instead.
  /// `fixed` makes the choice that stays, `coins` the jitter.
  Route choose(Random& fixed, Random& coins, double jitter, const Live& live) const;
  /// The same seen from another node: one table then serves many.
  Route choose(Random& fixed, Random& coins, double jitter, const Live& live, const Near& near) const;

 private:
  const Peer* live_at(Key slot, std::uint32_t placed, const Live& live, const std::vector<std::uint32_t>& taken) const;
  bool is_level2(std::uint32_t member) const noexcept;

  std::shared_ptr<const PeerSnapshot> peers_;
  Key key_;
  std::uint32_t fan_out_;
  std::uint32_t owner_;
  std::vector<std::uint32_t> level2_;
};

}  // namespace oxbow::p2p

#include "p2p/finger_table.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace oxbow::p2p {
namespace {

/// `self` 0: no member. Racks of 4, rows of 16.
std::shared_ptr<const PeerSnapshot> cluster(std::uint32_t members, PeerId self, const std::set<PeerId>& dead = {}) {
  std::vector<Peer> peers;
  const auto location = [](PeerId id) {
    return std::vector<std::string>{fmt::format("row-{}", (id - 1) / 16), fmt::format("rack-{}", (id - 1) / 4)};
  };
  for (PeerId id = 1; id <= members; ++id) {
    Peer peer;
    peer.id = id;
    peer.member.name = fmt::format("node-{}", id);
    peer.member.location = location(id);
    peer.self = id == self;
    peer.near = shared_labels(location(std::max(self, 1U)), location(id));
    if (dead.contains(id)) peer.state = PeerState::kSilent;
    peers.push_back(std::move(peer));
  }
  return std::make_shared<const PeerSnapshot>(std::move(peers), 1);
}

bool is_live(const Peer& peer) { return peer.state == PeerState::kEligible; }

// b is the cube root of the members, rounded up, and at least 2.
TEST(FingerTableTest, FanOut) {
  EXPECT_EQ(FingerTable::fan_out(1), 2U);
  EXPECT_EQ(FingerTable::fan_out(8), 2U);
  EXPECT_EQ(FingerTable::fan_out(9), 3U);
  EXPECT_EQ(FingerTable::fan_out(1'000), 10U);
  EXPECT_EQ(FingerTable::fan_out(1'001), 11U);
}

// V * b level-2 peers and b level-1 peers under each, nobody twice, the owner nowhere; over many keys every member is a
// finger about equally often, so that together the fingers cover the ring.
TEST(FingerTableTest, FingersCoverTheRing) {
  constexpr std::uint32_t kMembers = 216;  // b = 6
  const auto peers = cluster(kMembers, 1);
  std::vector<std::uint32_t> level2_of(kMembers);
  std::vector<std::uint32_t> level1_of(kMembers);
  constexpr std::uint32_t kKeys = 500;
  for (std::uint32_t i = 0; i < kKeys; ++i) {
    const FingerTable table(peers, key_of(fmt::format("key {}", i)));
    ASSERT_EQ(table.level2().size(), 12U);
    std::set<std::uint32_t> seen(table.level2().begin(), table.level2().end());
    EXPECT_EQ(seen.size(), 12U);
    EXPECT_FALSE(seen.contains(table.owner()));
    for (const auto member : table.level2()) ++level2_of[member];
    for (std::uint32_t slot = 0; slot < 12; ++slot) {
      const auto below = table.level1(slot);
      ASSERT_EQ(below.size(), 6U);
      const std::set<std::uint32_t> distinct(below.begin(), below.end());
      EXPECT_EQ(distinct.size(), 6U);
      for (const auto member : below) {
        EXPECT_FALSE(seen.contains(member));
        EXPECT_NE(member, table.owner());
        ++level1_of[member];
      }
    }
  }
  // The mean is 27.8 and 167; a fair draw strays from it by 5 and 13.
  EXPECT_GT(*std::ranges::min_element(level2_of), 5U);
  EXPECT_LT(*std::ranges::max_element(level2_of), 60U);
  EXPECT_GT(*std::ranges::min_element(level1_of), 100U);
  EXPECT_LT(*std::ranges::max_element(level1_of), 240U);
}

// Small clusters have as many slots as there are peers, and none is an error.
TEST(FingerTableTest, SmallClusters) {
  for (std::uint32_t members = 1; members <= 12; ++members) {
    const FingerTable table(cluster(members, 1), 42);
    EXPECT_LE(table.level2().size(), members - 1);
    Random fixed(1);
    Random coins(2);
    const auto route = table.choose(fixed, coins, 0.5, is_live);
    EXPECT_EQ(route.h2 != nullptr, members > 1);
    if (route.h1 != nullptr) EXPECT_NE(route.h1, route.h2);
    EXPECT_NE(table.live_owner(is_live), nullptr);
  }
}

// Every node computes the same table from the same members, wherever it stands and whatever it thinks of their health.
TEST(FingerTableTest, AllNodesAgree) {
  const FingerTable one(cluster(100, 1), 7);
  const FingerTable other(cluster(100, 50, {3, 9, 27, 81}), 7);
  EXPECT_EQ(one.owner(), other.owner());
  EXPECT_EQ(one.level2(), other.level2());
  for (std::uint32_t slot = 0; slot < one.level2().size(); ++slot) EXPECT_EQ(one.level1(slot), other.level1(slot));
}

// One member more moves few fingers: what the others have kept stays where it is looked for.
TEST(FingerTableTest, AJoinMovesFewFingers) {
  std::uint32_t moved = 0;
  std::uint32_t all = 0;
  for (std::uint32_t i = 0; i < 200; ++i) {
    const auto before = cluster(100, 1);
    const auto after = cluster(101, 1);
    const auto key = key_of(fmt::format("key {}", i));
    const FingerTable old_table(before, key);
    const FingerTable new_table(after, key);
    for (std::size_t slot = 0; slot < old_table.level2().size(); ++slot) {
      ++all;
      moved += before->peers()[old_table.level2()[slot]].id != after->peers()[new_table.level2()[slot]].id ? 1 : 0;
    }
  }
  EXPECT_LT(moved * 20, all);  // 5 %; the fair share of one among 101 is 1 %
}

// A dead finger's place is taken by the next live peer of its slot, the same for every node; the other slots stay.
TEST(FingerTableTest, ADeadFingerIsReplaced) {
  const auto healthy = cluster(100, 0);
  const FingerTable table(healthy, 11);
  const auto dead = healthy->peers()[table.level2()[3]].id;
  const auto reach = [&](std::uint64_t seed, PeerId self) {
    std::set<PeerId> found;
    const FingerTable sick(cluster(100, self, {dead}), 11);
    Random fixed(seed);
    for (int i = 0; i < 20; ++i) {
      Random coins(static_cast<std::uint64_t>(i));
      found.insert(sick.choose(fixed, coins, 0, is_live).h2->id);
    }
    return found;
  };
  // Seen from outside (all are equally far but for the first row's), every slot is reached by somebody.
  std::set<PeerId> stand_ins;
  for (PeerId self = 1; self <= 100; ++self) {
    if (self == dead) continue;
    for (const auto id : reach(self, self)) {
      EXPECT_NE(id, dead);
      const auto is_placed =
          std::ranges::any_of(table.level2(), [&](std::uint32_t member) { return healthy->peers()[member].id == id; });
      if (!is_placed) stand_ins.insert(id);
    }
  }
  EXPECT_EQ(stand_ins.size(), 1U);
}

// A dead owner's successor on the ring is the owner for all.
TEST(FingerTableTest, ADeadOwnersSuccessor) {
  const auto healthy = cluster(50, 1);
  const auto ranked = healthy->ranked(77, 3);
  const FingerTable table(cluster(50, 9, {ranked[0]}), 77);
  EXPECT_EQ(table.live_owner(is_live)->id, ranked[1]);
  const FingerTable other(cluster(50, 22, {ranked[0], ranked[1]}), 77);
  EXPECT_EQ(other.live_owner(is_live)->id, ranked[2]);
}

// Tier sampling: among the level-2 peers of the nearest tier, each about as often as the others, and none farther; the
// level-1 peer likewise, but for the jitter, which takes any with probability 1 / b.
TEST(FingerTableTest, TierSamplingAndJitter) {
  const auto peers = cluster(216, 100);
  const FingerTable table(peers, 5);
  std::uint32_t best = 0;
  for (const auto member : table.level2()) best = std::max(best, peers->peers()[member].near);
  Random fixed(3);
  Random coins(4);
  std::map<PeerId, int> chosen;
  int far = 0;
  int jittered = 0;
  constexpr int kDraws = 3'000;
  for (int i = 0; i < kDraws; ++i) {
    const auto route = table.choose(fixed, coins, 1.0 / 6, is_live);
    EXPECT_EQ(route.h2->near, best);
    ++chosen[route.h2->id];
    const auto slot = static_cast<std::uint32_t>(
        std::ranges::find_if(table.level2(), [&](auto member) { return peers->peers()[member].id == route.h2->id; }) -
        table.level2().begin());
    std::uint32_t nearest = 0;
    std::uint32_t in_nearest = 0;
    const auto below = table.level1(slot);
    for (const auto member : below) nearest = std::max(nearest, peers->peers()[member].near);
    for (const auto member : below) in_nearest += peers->peers()[member].near == nearest ? 1 : 0;
    if (in_nearest == below.size()) continue;
    ++jittered;
    far += route.h1->near < nearest ? 1 : 0;
  }
  for (const auto& [id, count] : chosen) EXPECT_NEAR(count * static_cast<int>(chosen.size()), kDraws, kDraws / 4);
  // Less than 1 / b, because "any" may be of the nearest tier too.
  if (jittered > 0) {
    EXPECT_GT(far, 0);
    EXPECT_LT(far * 6, jittered);
  }
}

// This node is nearer than any other: where it is a level-2 peer of the key it chooses itself.
TEST(FingerTableTest, ThisNodeIsNearest) {
  const auto outside = cluster(64, 0);
  const FingerTable table(outside, 13);
  const auto self = outside->peers()[table.level2()[2]].id;
  const FingerTable own(cluster(64, self), 13);
  Random fixed(1);
  Random coins(1);
  EXPECT_EQ(own.choose(fixed, coins, 0.2, is_live).h2->id, self);
}

}  // namespace
}  // namespace oxbow::p2p

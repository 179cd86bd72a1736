#include "p2p/coordinator.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMiB = 1024ULL * 1024;
constexpr std::uint64_t kBlob = 256 * kMiB;  // 256 stripes, 32 spans

/// Node i + 1 of the cluster has id i + 1.
std::shared_ptr<const PeerSnapshot> cluster_of(std::uint32_t count, std::map<PeerId, PeerState> states = {},
                                               std::uint64_t incarnation = 1) {
  std::vector<Peer> peers;
  for (std::uint32_t i = 0; i < count; ++i) {
    Peer peer;
    peer.id = i + 1;
    peer.incarnation = incarnation;
    peer.member.name = fmt::format("node-{}", i + 1);
    peer.member.location = {i % 4 == 0 ? "zone-a" : "zone-b"};
    if (const auto found = states.find(peer.id); found != states.end()) peer.state = found->second;
    peers.push_back(std::move(peer));
  }
  return std::make_shared<const PeerSnapshot>(std::move(peers), 1);
}

class CoordinatorTest : public ::testing::Test {
 protected:
  explicit CoordinatorTest(std::uint32_t nodes = 16) : peers_(cluster_of(nodes)) {}

  static Announce wanting(std::vector<std::uint32_t> ask = {}) {
    Announce announce;
    announce.digest = Digest::sha256(std::string_view("blob"));
    announce.size = kBlob;
    announce.have = HaveMap(256);
    announce.may_fetch = true;
    announce.ask = std::move(ask);
    return announce;
  }
  static Announce holding(HaveMap have) {
    auto announce = wanting();
    announce.interest = Interest::kHolding;
    announce.have = std::move(have);
    return announce;
  }
  AnnounceReply tell(PeerId from, const Announce& announce) {
    return coordinator_.on_announce(now_, from, announce, *peers_);
  }

  std::shared_ptr<const PeerSnapshot> peers_;
  Time now_{100'000};
  Coordinator coordinator_{CoordinatorOptions{}, 1, Time{0}};
};

// A span is leased to one node at a time, however many ask for it.
TEST_F(CoordinatorTest, LeasesASpanOnce) {
  for (PeerId peer = 1; peer <= 16; ++peer) tell(peer, wanting());
  std::set<std::uint32_t> granted;
  for (PeerId peer = 1; peer <= 16; ++peer) {
    for (const auto& grant : tell(peer, wanting({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})).granted)
      EXPECT_TRUE(granted.insert(grant.span).second);
  }
  EXPECT_EQ(granted.size(), 12U);
  EXPECT_EQ(coordinator_.leases(), 12U);
}

// Few wanters take more leases each, so that a registry that throttles connections is used in full; never more than a
// node can fetch at a time.
TEST_F(CoordinatorTest, FewWantersGetMoreLeases) {
  tell(1, wanting());
  now_ += 1'500ms;
  EXPECT_EQ(tell(1, wanting({0, 1, 2, 3, 4, 5, 6, 7})).granted.size(), 6U);
  tell(1, [] {
    auto done = wanting();
    done.released = {0, 1, 2, 3, 4, 5};
    return done;
  }());
  tell(2, wanting());
  EXPECT_EQ(tell(1, wanting({0, 1, 2, 3, 4, 5, 6, 7})).granted.size(), 4U);
  EXPECT_EQ(tell(2, wanting({0, 1, 2, 3, 4, 5, 6, 7})).granted.size(), 4U);
}

// Who is the first to want a blob does not get all of it before the others have come: a lease at once, and one more
// with each quarter of a second.
TEST_F(CoordinatorTest, TheFirstWanterLeavesSomeForTheOthers) {
  const auto all = [this](PeerId peer) { return tell(peer, wanting({0, 1, 2, 3, 4, 5, 6, 7})).granted.size(); };
  EXPECT_EQ(all(1), 1U);
  EXPECT_EQ(all(1), 1U) << "the one that it has";
  now_ += 250ms;
  EXPECT_EQ(all(1), 2U);
  EXPECT_EQ(all(2), 2U);
  now_ += 750ms;
  EXPECT_EQ(all(3), 3U);
}

// A lease that waits while its holder's other one gets bytes, or while the registry gives everybody less than before,
// is not slow.
TEST_F(CoordinatorTest, AShareOfASlowRegistryIsNotACrawl) {
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  now_ += 1'000ms;
  auto done = wanting();
  done.released = {0};
  HaveMap first_span(256);
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) first_span.set(stripe);
  done.have = first_span;
  tell(1, done);  // so far a span took a second
  ASSERT_EQ(tell(1, wanting({1, 2})).granted.size(), 2U);
  ASSERT_EQ(tell(2, wanting({3})).granted.size(), 1U);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    now_ += 700ms;
    auto two = wanting();
    two.leases = {{1, i * kMiB / 4}, {2, i}};
    EXPECT_TRUE(tell(1, two).lost.empty());
    auto one = wanting();
    one.leases = {{3, i * kMiB / 5}};
    EXPECT_TRUE(tell(2, one).lost.empty());
  }
}

// Without the right to fetch nothing is granted.
TEST_F(CoordinatorTest, NeedsTheRightToFetch) {
  auto announce = wanting({0});
  announce.may_fetch = false;
  EXPECT_TRUE(tell(1, announce).granted.empty());
}

// What somebody holds is not leased: unless the asker cannot reach the holder, or the holder leaves.
TEST_F(CoordinatorTest, DoesNotLeaseWhatIsHeld) {
  tell(1, holding(HaveMap(256, true)));
  HaveMap first_span(256);
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) first_span.set(stripe);
  tell(2, holding(first_span));
  const auto reply = tell(3, wanting({0}));
  EXPECT_TRUE(reply.granted.empty());
  ASSERT_EQ(reply.neighbours.size(), 2U);

  auto cut_off = wanting({0, 1});
  cut_off.unreachable = {"node-1"};
  const auto other = tell(4, cut_off);
  ASSERT_EQ(other.granted.size(), 1U);  // span 0 is at node-2 as well
  EXPECT_EQ(other.granted[0].span, 1U);

  auto left = holding(HaveMap(256));
  left.interest = Interest::kLeft;
  tell(1, left);
  const auto later = tell(3, wanting({2}));
  ASSERT_EQ(later.granted.size(), 1U);
}

// A node that drains is asked for nothing: what only it has is leased to others, and it goes on for its own readers.
TEST_F(CoordinatorTest, LeasesWhatOnlyADrainingNodeHas) {
  const auto everybody = peers_;
  tell(1, holding(HaveMap(256, true)));
  EXPECT_TRUE(tell(2, wanting({0})).granted.empty());
  peers_ = cluster_of(16, {{1, PeerState::kDraining}, {5, PeerState::kDraining}});
  coordinator_.tick(now_, *peers_);
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
  tell(1, holding(HaveMap(256, true)));
  EXPECT_EQ(tell(3, wanting({1})).granted.size(), 1U);
  EXPECT_EQ(tell(5, wanting({2})).granted.size(), 1U);
  peers_ = everybody;
  tell(1, holding(HaveMap(256, true)));
  EXPECT_TRUE(tell(4, wanting({3})).granted.empty());
}

// Nor what several hold together; what is missing at all of them is.
TEST_F(CoordinatorTest, DoesNotLeaseWhatSeveralHoldTogether) {
  HaveMap lower(256), upper(256), own(256);
  for (std::uint32_t stripe = 0; stripe < 4; ++stripe) lower.set(stripe);
  for (std::uint32_t stripe = 4; stripe < 7; ++stripe) upper.set(stripe);
  tell(1, holding(lower));
  tell(2, holding(upper));
  auto asks = wanting({0});
  asks.have = own;
  EXPECT_EQ(tell(3, asks).granted.size(), 1U);  // stripe 7 is nowhere
  auto done = wanting();
  done.released = {0};
  tell(3, done);

  own.set(7);
  asks.have = own;
  EXPECT_TRUE(tell(3, asks).granted.empty());
  auto cut_off = asks;
  cut_off.unreachable = {"node-2"};
  EXPECT_EQ(tell(3, cut_off).granted.size(), 1U);
  tell(3, done);

  upper.set(7);
  tell(2, holding(upper));
  EXPECT_TRUE(tell(4, wanting({0})).granted.empty());
  upper.clear(5);
  tell(2, holding(upper));
  EXPECT_EQ(tell(4, wanting({0})).granted.size(), 1U);
}

// A lease is renewed by bytes, not by words; without them it ends and another takes over.
TEST_F(CoordinatorTest, ALeaseEndsWithoutProgress) {
  tell(2, wanting());
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  auto claim = wanting();
  claim.leases = {{0, kMiB}};
  for (int i = 0; i < 12; ++i) {
    now_ += 450ms;
    claim.leases[0].bytes += kMiB / 2;
    ASSERT_EQ(tell(1, claim).granted.size(), 1U);
    tell(2, wanting());
  }
  now_ += 1'900ms;
  EXPECT_TRUE(tell(1, claim).granted.empty());  // the same bytes
  now_ += 200ms;
  EXPECT_TRUE(tell(2, wanting({0})).granted.empty()) << "what its holder said last was in time";
  tell(1, claim);
  ASSERT_EQ(tell(2, wanting({0})).granted.size(), 1U);
  EXPECT_EQ(tell(1, claim).lost, std::vector<std::uint32_t>{0});
}

// More bytes than a blob has are no progress.
TEST_F(CoordinatorTest, ClaimsGrowNoFurtherThanTheirBlob) {
  auto first = wanting();
  auto second = wanting();
  for (std::uint32_t span = 0; span < 6; ++span) {
    first.leases.push_back({span, 0});
    second.leases.push_back({span + 6, 0});
  }
  std::optional<int> granted;
  for (int i = 1; i <= 120 && !granted; ++i) {
    now_ += 500ms;
    for (auto* one : {&first, &second}) {
      for (auto& claim : one->leases) claim.bytes += kBlob / 10;
      tell(one == &first ? 1 : 3, *one);
    }
    if (!tell(2, wanting({20})).granted.empty()) granted = i;
  }
  ASSERT_TRUE(granted);
  EXPECT_GT(*granted, 10) << "all of the leases made progress until then";
}

// Nobody claims more leases of a blob than a node is granted.
TEST_F(CoordinatorTest, BoundsTheClaimsOfANode) {
  tell(2, wanting());
  auto greedy = wanting();
  for (std::uint32_t span = 0; span < 12; ++span) greedy.leases.push_back({span, kMiB});
  const auto reply = tell(1, greedy);
  EXPECT_EQ(reply.granted.size(), 6U);
  EXPECT_EQ(reply.lost, (std::vector<std::uint32_t>{6, 7, 8, 9, 10, 11}));
  now_ += 1'500ms;
  EXPECT_FALSE(tell(2, wanting({20})).granted.empty());
}

// Who says nothing any more loses its lease when its time is over, whether or not a byte had come.
TEST_F(CoordinatorTest, ALeaseOfTheSilentEnds) {
  for (const std::uint32_t span : {0U, 1U}) {
    tell(2, wanting());
    ASSERT_EQ(tell(1, wanting({span})).granted.size(), 1U);
    auto claim = wanting();
    claim.leases = {{span, span * kMiB}};
    now_ += 50ms;
    tell(1, claim);
    now_ += 1'900ms;
    EXPECT_TRUE(tell(2, wanting({span})).granted.empty());
    now_ += 200ms;
    EXPECT_EQ(tell(2, wanting({span})).granted.size(), 1U);
    auto released = wanting();
    released.released = {span};
    tell(2, released);
  }
}

// A registry may think for long before the first byte: meanwhile the lease stays with a holder that is heard of, unless
// others got theirs much sooner (the next test). Once the bytes come, the lease is judged from then on.
TEST_F(CoordinatorTest, TheFirstByteMayTakeLonger) {
  const auto claim = [](std::uint64_t bytes, std::uint32_t span = 0) {
    auto announce = wanting();
    announce.leases = {{span, bytes}};
    return announce;
  };
  const auto wait = [&](int times) {
    for (int i = 0; i < times; ++i) {
      now_ += 500ms;
      tell(1, claim(0));
    }
  };
  tell(2, wanting());
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  wait(18);
  EXPECT_TRUE(tell(2, wanting({0})).granted.empty());
  now_ += 300ms;
  ASSERT_EQ(tell(1, claim(1'000)).granted.size(), 1U);  // after 9.3 s
  for (std::uint64_t i = 1; i <= 8; ++i) {
    now_ += 500ms;
    EXPECT_TRUE(tell(1, claim(i * kMiB)).lost.empty());
  }
}

// One that was begun under another coordinator is claimed with bytes: it is not waited for like a first byte.
TEST_F(CoordinatorTest, AClaimedLeaseHasBegun) {
  tell(2, wanting());
  auto claim = wanting();
  claim.leases = {{0, kMiB}};
  ASSERT_EQ(tell(1, claim).granted.size(), 1U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(tell(2, wanting({0})).granted.empty());
    now_ += 450ms;
    tell(1, claim);
  }
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
}

TEST_F(CoordinatorTest, AFirstByteThatOthersGotSoonerEndsALease) {
  const auto claim = [](std::uint32_t span, std::uint64_t bytes) {
    auto announce = wanting();
    announce.leases = {{span, bytes}};
    return announce;
  };
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  ASSERT_EQ(tell(2, wanting({1})).granted.size(), 1U);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    now_ += 450ms;
    tell(2, claim(1, i * 100'000));
    EXPECT_TRUE(tell(1, claim(0, 0)).lost.empty());
  }
  now_ += 300ms;
  tell(1, claim(0, 0));
  EXPECT_EQ(tell(3, wanting({0})).granted.size(), 1U);
}

// A holder that nobody reaches and that does not announce is given up before its lease ends by itself.
TEST_F(CoordinatorTest, ASilentAndUnreachableHolderIsGivenUp) {
  tell(2, wanting());
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  auto claim = wanting();
  claim.leases = {{0, kMiB}};
  now_ += 900ms;
  tell(1, claim);
  // On full links announcements are late: not yet.
  now_ += 1'400ms;
  auto report = wanting({0});
  report.unreachable = {"node-1"};
  EXPECT_TRUE(tell(2, report).granted.empty());
  now_ += 200ms;
  EXPECT_EQ(tell(2, report).granted.size(), 1U);
}

// Where everybody announces in time, silence shows sooner; once somebody was late, it does not until that is forgotten.
TEST_F(CoordinatorTest, SilenceIsMeasuredByHowLateOthersAre) {
  std::uint32_t span = 0;
  const auto given_up_after = [&](std::chrono::milliseconds late) {
    auto claim = wanting();
    claim.leases = {{span, kMiB}};
    EXPECT_EQ(tell(1, wanting({span})).granted.size(), 1U);
    for (int i = 0; i < 4; ++i) {
      now_ += 200ms + late;
      claim.leases[0].bytes += kMiB / 2;
      tell(1, claim);
      tell(2, wanting());
    }
    auto report = wanting({span});
    report.unreachable = {"node-1"};
    auto silent = 0ms;
    while (tell(2, report).granted.empty() && silent < 5'000ms) {
      now_ += 50ms;
      silent += 50ms;
    }
    auto done = wanting();
    done.released = {span++};
    tell(2, done);
    now_ += 10'000ms;
    return silent;
  };
  EXPECT_EQ(given_up_after(20ms), 850ms);
  EXPECT_EQ(given_up_after(400ms), 1'400ms);
  EXPECT_EQ(given_up_after(20ms), 850ms);
}

// A killed process breaks its connections: who finds it so needs to wait for two announcements only.
TEST_F(CoordinatorTest, AHolderThatIsGoneIsGivenUpSooner) {
  tell(2, wanting());
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  auto report = wanting({0});
  report.unreachable = {"node-1", "node-3"};
  report.gone = {"node-1"};
  for (int i = 0; i < 3; ++i) {
    now_ += 150ms;
    EXPECT_TRUE(tell(2, report).granted.empty());
  }
  now_ += 100ms;
  auto only_silent = report;
  only_silent.gone.clear();
  EXPECT_TRUE(tell(2, only_silent).granted.empty());
  EXPECT_EQ(tell(2, report).granted.size(), 1U);
}

// One slow node's lease goes to somebody faster, and it is not given another one soon.
TEST_F(CoordinatorTest, ACrawlingLeaseIsTakenAway) {
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  ASSERT_EQ(tell(2, wanting({1})).granted.size(), 1U);
  auto slow = wanting();
  auto fast = wanting();
  AnnounceReply last;
  for (int i = 1; i <= 7; ++i) {
    EXPECT_TRUE(last.lost.empty());
    now_ += 700ms;
    fast.leases = {{1, i * kMiB}};
    tell(2, fast);
    slow.leases = {{0, static_cast<std::uint64_t>(i) * 1000}};
    last = tell(1, slow);
  }
  EXPECT_EQ(last.lost, std::vector<std::uint32_t>{0});
  EXPECT_TRUE(tell(1, wanting({5})).granted.empty());
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
}

// At a fifth of the usual speed a node keeps its lease, unless all the others wait for it.
TEST_F(CoordinatorTest, TheLastLeaseIsNotLeftToASlowNode) {
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  ASSERT_EQ(tell(2, wanting({1})).granted.size(), 1U);
  auto slow = wanting();
  auto fast = wanting();
  std::uint64_t got = 0;
  const auto goes_on = [&] {
    now_ += 500ms;
    slow.leases = {{0, got += 4 * kMiB / 5}};
    return tell(1, slow).lost.empty();
  };
  fast.leases = {{1, kMiB}};
  tell(2, fast);
  EXPECT_TRUE(goes_on());
  EXPECT_TRUE(goes_on());
  for (std::uint32_t stripe = 8; stripe < 16; ++stripe) fast.have.set(stripe);
  fast.leases.clear();
  fast.released = {1};
  fast.ask = {2};
  ASSERT_EQ(tell(2, fast).granted.size(), 1U);  // its first took a second
  fast.ask.clear();
  for (std::uint64_t i = 1; i <= 3; ++i) {
    fast.leases = {{2, i * 2 * kMiB}};
    tell(2, fast);
    EXPECT_TRUE(goes_on()) << i;
  }
  for (std::uint32_t stripe = 16; stripe < 24; ++stripe) fast.have.set(stripe);
  fast.leases.clear();
  fast.released = {2};
  tell(2, fast);
  EXPECT_FALSE(goes_on());
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
}

// A coordinator that takes over grants nothing new until those who hold leases have had time to claim them.
TEST_F(CoordinatorTest, TakesOverByClaims) {
  auto lost_its_coordinator = wanting({4});
  lost_its_coordinator.unreachable = {"node-9"};
  lost_its_coordinator.have.set(0);
  EXPECT_TRUE(tell(1, lost_its_coordinator).granted.empty());
  now_ += 500ms;
  auto claim = wanting();
  claim.leases = {{4, kMiB}};
  EXPECT_EQ(tell(2, claim).granted.size(), 1U);
  now_ += 800ms;
  claim.leases[0].bytes += kMiB;
  tell(2, claim);
  const auto reply = tell(1, wanting({4, 5}));
  ASSERT_EQ(reply.granted.size(), 1U);
  EXPECT_EQ(reply.granted[0].span, 5U);
}

// Nor does it wait for longer than it takes all that are known to want it to come.
TEST_F(CoordinatorTest, TakesOverAtOnceWhenAllHaveCome) {
  const auto comes = [this](PeerId peer, std::vector<std::uint32_t> ask) {
    auto lost_its_coordinator = wanting(std::move(ask));
    lost_its_coordinator.unreachable = {"node-9"};
    lost_its_coordinator.have.set(0);
    lost_its_coordinator.wanters = 3;
    if (peer == 2) lost_its_coordinator.leases = {{4, kMiB}};
    return tell(peer, lost_its_coordinator).granted.size();
  };
  EXPECT_EQ(comes(1, {5}), 0U);
  now_ += 100ms;
  EXPECT_EQ(comes(2, {}), 1U);
  EXPECT_EQ(comes(1, {5}), 0U);
  now_ += 100ms;
  EXPECT_EQ(comes(3, {6}), 1U);
  EXPECT_EQ(comes(1, {4}), 0U);
  EXPECT_EQ(comes(1, {5}), 1U);
}

// A coordinator that knew the blob already, from a holder, takes over in the same way.
TEST_F(CoordinatorTest, TakesOverWhatItKnew) {
  HaveMap some(256);
  some.set(200);
  tell(7, holding(some));
  now_ += 20'000ms;
  auto lost_its_coordinator = wanting({5});
  lost_its_coordinator.have.set(0);
  lost_its_coordinator.wanters = 3;
  EXPECT_TRUE(tell(1, lost_its_coordinator).granted.empty());
  EXPECT_TRUE(tell(2, lost_its_coordinator).granted.empty());
  EXPECT_EQ(tell(3, lost_its_coordinator).granted.size(), 1U);
}

// The answer to a lost answer: who holds a lease and asks again is granted it again.
TEST_F(CoordinatorTest, GrantsAgainToItsHolder) {
  tell(2, wanting());
  ASSERT_EQ(tell(1, wanting({7})).granted.size(), 1U);
  EXPECT_EQ(tell(1, wanting({7})).granted.size(), 1U);
  EXPECT_EQ(coordinator_.leases(), 1U);
}

// A young coordinator says so, an old one does not.
TEST_F(CoordinatorTest, SaysThatItIsFresh) {
  Coordinator young(CoordinatorOptions{}, 1, now_ - 1'000ms);
  EXPECT_TRUE(young.on_announce(now_, 1, wanting(), *peers_).fresh);
  EXPECT_FALSE(tell(1, wanting()).fresh);
}

// Wanters that went silent are forgotten with their leases; a blob that nobody speaks of goes.
TEST_F(CoordinatorTest, ForgetsTheSilent) {
  tell(1, wanting({0}));
  EXPECT_EQ(coordinator_.blobs(), 1U);
  now_ += 10'000ms;
  coordinator_.tick(now_, *peers_);
  EXPECT_EQ(coordinator_.blobs(), 0U);
  EXPECT_EQ(coordinator_.leases(), 0U);
}

// Midstates are kept from their publisher, sent to who lacks them, and forgotten with the publisher.
TEST_F(CoordinatorTest, PassesMidstatesOn) {
  auto publisher = holding(HaveMap(256, true));
  publisher.midstates = MidstateList{"node-1", {"one", "two"}};
  publisher.know_midstates = true;
  EXPECT_FALSE(tell(1, publisher).midstates.has_value());
  ASSERT_TRUE(tell(2, wanting()).midstates.has_value());
  coordinator_.forget_publisher("node-1");
  EXPECT_FALSE(tell(2, wanting()).midstates.has_value());
}

// A suspended peer that announces again is told who else there is, and nothing of what it says is taken: neither its
// list, nor its map, nor its claims.
TEST_F(CoordinatorTest, TheWordOfTheSuspendedDoesNotCount) {
  for (const auto state : {PeerState::kSuspended, PeerState::kRevoked}) {
    Coordinator coordinator(CoordinatorOptions{}, 1, Time{0});
    const auto everybody = cluster_of(16);
    const auto say = [&](PeerId from, const Announce& announce) {
      return coordinator.on_announce(now_, from, announce, *peers_);
    };
    peers_ = everybody;
    auto liar = holding(HaveMap(256, true));
    liar.midstates = MidstateList{"node-1", {"one", "two"}};
    say(1, liar);
    ASSERT_TRUE(say(2, wanting()).midstates.has_value());
    peers_ = cluster_of(16, {{1, state}});
    coordinator.forget_publisher("node-1");
    say(1, liar);
    const auto told = say(2, wanting({0}));
    EXPECT_FALSE(told.midstates.has_value());
    EXPECT_EQ(told.granted.size(), 1U) << "what only the suspended one holds is held by nobody";

    auto greedy = wanting({1, 2});
    greedy.leases = {{3, kMiB}};
    const auto reply = say(1, greedy);
    EXPECT_TRUE(reply.granted.empty());
    EXPECT_EQ(reply.lost, std::vector<std::uint32_t>{3});
    ASSERT_EQ(reply.neighbours.size(), 1U);
    EXPECT_EQ(reply.neighbours[0].name, "node-2");
    EXPECT_EQ(say(2, wanting()).wanters, 1U);
    EXPECT_EQ(coordinator.leases(), 1U);

    // When its time is over it is a member like any other.
    peers_ = everybody;
    say(1, liar);
    EXPECT_TRUE(say(2, wanting()).midstates.has_value());
  }
}

// What the suspended had ends with its next word, not only with the next tick, and its word makes no blob known.
TEST_F(CoordinatorTest, TheSuspendedKeepsNothing) {
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  tell(2, wanting());
  peers_ = cluster_of(16, {{1, PeerState::kSuspended}});
  auto claim = wanting();
  claim.leases = {{0, kMiB}};
  EXPECT_EQ(tell(1, claim).lost, std::vector<std::uint32_t>{0});
  EXPECT_EQ(coordinator_.leases(), 0U);
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
  auto other = wanting({0});
  other.digest = Digest::sha256(std::string_view("other"));
  tell(1, other);
  tell(17, other);  // not in the snapshot
  EXPECT_EQ(coordinator_.blobs(), 1U);
}

// Who is missing from the view for a moment is not counted meanwhile, whatever it says, and has no leases; when it is
// back it is what it was. Who stays away is forgotten like others that are silent.
TEST_F(CoordinatorTest, WhoIsMissingForATickIsNotForgotten) {
  const auto everybody = cluster_of(16);
  peers_ = everybody;
  tell(2, wanting());
  tell(16, holding(HaveMap(256, true)));
  auto other = wanting({0});
  other.digest = Digest::sha256(std::string_view("other"));
  ASSERT_EQ(tell(16, other).granted.size(), 1U);
  peers_ = cluster_of(15);
  coordinator_.tick(now_, *peers_);
  EXPECT_EQ(coordinator_.leases(), 0U);
  tell(16, holding(HaveMap(256, true)));
  auto reply = tell(2, wanting({0}));
  EXPECT_TRUE(reply.neighbours.empty());
  EXPECT_EQ(reply.granted.size(), 1U);
  auto released = wanting();
  released.released = {0};
  tell(2, released);

  peers_ = everybody;
  now_ += 1'000ms;
  coordinator_.tick(now_, *peers_);
  reply = tell(2, wanting({0}));
  ASSERT_EQ(reply.neighbours.size(), 1U);
  EXPECT_EQ(reply.neighbours[0].name, "node-16");
  EXPECT_TRUE(reply.granted.empty());

  peers_ = cluster_of(15);
  now_ += 610'000ms;
  coordinator_.tick(now_, *peers_);
  EXPECT_EQ(coordinator_.blobs(), 0U);
}

// One that comes back as another process, of which that is known sooner or later, need not have what it had.
TEST_F(CoordinatorTest, WhoComesBackAsAnotherProcessAnnouncesAnew) {
  tell(16, holding(HaveMap(256, true)));
  for (const auto incarnation : {0U, 2U}) {
    peers_ = cluster_of(15);
    coordinator_.tick(now_, *peers_);
    peers_ = cluster_of(16, {}, incarnation);
    coordinator_.tick(now_, *peers_);
    EXPECT_EQ(tell(2, wanting()).neighbours.size(), incarnation == 0 ? 1U : 0U);
  }
  tell(16, holding(HaveMap(256, true)));
  EXPECT_EQ(tell(2, wanting()).neighbours.size(), 1U);
}

// A list whose publisher is suspended is passed on to nobody, whether or not somebody said to forget it; and it does
// not come back when that one has left the cluster.
TEST_F(CoordinatorTest, ForgetsTheListsOfTheSuspended) {
  auto publisher = holding(HaveMap(256, true));
  publisher.midstates = MidstateList{"node-1", {"one", "two"}};
  tell(1, publisher);
  ASSERT_TRUE(tell(2, wanting()).midstates.has_value());
  peers_ = cluster_of(16, {{1, PeerState::kSuspended}});
  EXPECT_FALSE(tell(2, wanting()).midstates.has_value());
  peers_ = cluster_of(16);
  EXPECT_FALSE(tell(2, wanting()).midstates.has_value());
}

// A list is its sender's, whatever name is written on it: nobody is blamed for what another published.
TEST_F(CoordinatorTest, AForeignNameOnAList) {
  auto publisher = holding(HaveMap(256, true));
  publisher.midstates = MidstateList{"node-3", {"one", "two"}};
  tell(1, publisher);
  const auto told = tell(2, wanting()).midstates;
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->publisher, "node-1");
}

// Who has a blob's size wrong gets leases for what it believes in, and is in nobody's way: those who say the right one
// have all of their spans, whoever came first.
TEST_F(CoordinatorTest, SizesOfOneDigestDoNotMeet) {
  auto wrong = wanting({0});
  wrong.size = kMiB;
  wrong.have = HaveMap(Geometry(kMiB).stripes());
  EXPECT_EQ(tell(1, wrong).granted.size(), 1U);
  const auto right = tell(2, wanting({31}));
  ASSERT_EQ(right.granted.size(), 1U);
  EXPECT_EQ(right.granted[0].span, 31U);
  EXPECT_EQ(right.size, kBlob);
  EXPECT_TRUE(right.neighbours.empty());
  EXPECT_EQ(coordinator_.leases(), 2U);

  const auto third = tell(3, wanting({31}));
  EXPECT_TRUE(third.granted.empty());
  ASSERT_EQ(third.neighbours.size(), 1U);
  EXPECT_EQ(third.neighbours[0].name, "node-2");
  const auto misled = tell(4, wrong);
  EXPECT_EQ(misled.size, kMiB);
  EXPECT_TRUE(misled.granted.empty());
  ASSERT_EQ(misled.neighbours.size(), 1U);
  EXPECT_EQ(misled.neighbours[0].name, "node-1");

  // A holder of all of the wrong size holds nothing of the right one.
  wrong.interest = Interest::kHolding;
  wrong.have = HaveMap(Geometry(kMiB).stripes(), true);
  tell(5, wrong);
  now_ += 1'500ms;
  tell(2, wanting());
  EXPECT_EQ(tell(3, wanting({0})).granted.size(), 1U);
}

// Without a size an announcement is a question: answered with the swarm of most members, and it makes nobody a member.
TEST_F(CoordinatorTest, AsksWithoutASize) {
  auto wrong = wanting();
  wrong.size = kMiB;
  wrong.have = HaveMap(Geometry(kMiB).stripes());
  tell(3, wrong);
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  tell(2, wanting());
  Announce question;
  question.digest = wrong.digest;
  question.may_fetch = true;
  question.ask = {1};
  const auto reply = tell(4, question);
  EXPECT_EQ(reply.size, kBlob);
  EXPECT_EQ(reply.neighbours.size(), 2U);
  EXPECT_TRUE(reply.granted.empty());
  EXPECT_EQ(tell(2, wanting()).wanters, 2U);

  question.digest = Digest::sha256(std::string_view("unheard of"));
  EXPECT_EQ(tell(4, question).size, 0U);
  EXPECT_EQ(coordinator_.blobs(), 2U);

  // One that leaves need not know it either.
  Announce left;
  left.digest = wrong.digest;
  left.interest = Interest::kLeft;
  tell(1, left);
  EXPECT_EQ(coordinator_.leases(), 0U);
  EXPECT_EQ(tell(2, wanting({0})).granted.size(), 1U);
}

// Sizes count like blobs.
TEST_F(CoordinatorTest, BoundsTheSizesOfADigest) {
  CoordinatorOptions options;
  options.blobs = 4;
  Coordinator small(options, 1, Time{0});
  for (std::uint64_t mib = 1; mib <= 40; ++mib) {
    auto announce = wanting();
    announce.size = mib * kMiB;
    announce.have = HaveMap(Geometry(announce.size).stripes());
    small.on_announce(now_, 1, announce, *peers_);
    EXPECT_LE(small.blobs(), 4U);
  }
  auto left = wanting();
  left.size = 40 * kMiB;
  left.interest = Interest::kLeft;
  EXPECT_EQ(small.on_announce(now_, 1, left, *peers_).size, 40 * kMiB);
  small.tick(now_, *peers_);
  EXPECT_EQ(small.blobs(), 3U);
}

// Whoever announces large blobs that nobody has takes no more memory than one who announces few.
TEST_F(CoordinatorTest, BoundsTheStripesItRemembers) {
  CoordinatorOptions options;
  options.memory_bytes = 4'000;
  Coordinator small(options, 1, Time{0});
  for (int blob = 0; blob < 20; ++blob) {
    auto announce = wanting();
    announce.digest = Digest::sha256(fmt::format("blob {}", blob));
    announce.have.set(0);
    small.on_announce(now_, 1, announce, *peers_);
    EXPECT_LE(small.blobs(), 3U);
  }
  EXPECT_EQ(small.blobs(), 3U);  // of 256 stripes each, and a map of 32 bytes
  EXPECT_EQ(small.memory_bytes(), 3 * (256 * 4 + 32U));
  EXPECT_EQ(small.forgotten().for_memory, 17U);
  EXPECT_EQ(small.forgotten().for_blobs, 0U);
  // One that is larger than all of it is known alone.
  auto giant = wanting();
  giant.digest = Digest::sha256(std::string_view("giant"));
  giant.size = 16'000 * kMiB;  // 2,000 stripes
  giant.have = HaveMap(Geometry(giant.size).stripes());
  giant.have.set(0);
  small.on_announce(now_, 1, giant, *peers_);
  EXPECT_EQ(small.blobs(), 1U);
}

// Nothing of a blob takes nothing, however large it is said to be.
TEST_F(CoordinatorTest, NothingOfAGiantTakesNoMemory) {
  tell(1, holding(HaveMap(256, true)));
  for (int blob = 0; blob < 200; ++blob) {
    auto giant = wanting();
    giant.digest = Digest::sha256(fmt::format("giant {}", blob));
    giant.size = 1'600'000 * kMiB;  // 200,000 stripes
    giant.have = HaveMap(Geometry(giant.size).stripes());
    tell(2, giant);
  }
  EXPECT_EQ(coordinator_.memory_bytes(), 0U);
  const auto reply = tell(3, wanting());
  ASSERT_EQ(reply.neighbours.size(), 1U);
  EXPECT_EQ(reply.neighbours[0].name, "node-1");
}

// Who introduces more than a quarter of what a limit allows makes nobody forget what others told.
TEST_F(CoordinatorTest, OneMemberFloodsOnlyItsOwn) {
  for (const bool few : {false, true}) {
    CoordinatorOptions options;
    if (few)
      options.blobs = 8;
    else
      options.memory_bytes = 8UL * 1024;
    Coordinator small(options, 1, Time{0});
    auto first = holding(HaveMap(256));
    first.have.set(0);
    small.on_announce(now_, 1, first, *peers_);
    for (int blob = 0; blob < 20; ++blob) {
      auto announce = first;
      announce.digest = Digest::sha256(fmt::format("blob {}", blob));
      small.on_announce(now_, 2, announce, *peers_);
    }
    EXPECT_GT(small.forgotten().for_blobs + small.forgotten().for_memory, 0U);
    EXPECT_EQ(small.on_announce(now_, 3, wanting(), *peers_).neighbours.size(), 1U) << few;
  }
}

// Lists of midstates are most of what a blob takes, and are counted like the rest.
TEST_F(CoordinatorTest, BoundsTheMidstatesItRemembers) {
  CoordinatorOptions options;
  options.memory_bytes = 64UL * 1024;
  Coordinator small(options, 1, Time{0});
  for (int blob = 0; blob < 20; ++blob) {
    auto announce = holding(HaveMap(256, true));
    announce.digest = Digest::sha256(fmt::format("blob {}", blob));
    announce.midstates = MidstateList{"node-1", std::vector<std::string>(255, std::string(32, 'm'))};
    small.on_announce(now_, 1, announce, *peers_);
    EXPECT_LE(small.memory_bytes(), options.memory_bytes);
    EXPECT_GE(small.memory_bytes(), small.blobs() * 255 * 32);
  }
  EXPECT_GE(small.blobs(), 2U);
  EXPECT_LE(small.blobs(), 8U);
  EXPECT_EQ(small.forgotten().for_memory, 20 - small.blobs());
}

// What is forgotten is counted no more: lists by their publisher, maps by their member, blobs by their last member.
TEST_F(CoordinatorTest, CountsWhatItHas) {
  auto publisher = wanting();
  publisher.have.set(0);
  publisher.midstates = MidstateList{"node-1", std::vector<std::string>(255, std::string(64, 'm'))};
  tell(1, publisher);
  EXPECT_GE(coordinator_.memory_bytes(), 256 * 4 + 32 + 255 * 64U);
  auto other = wanting();
  other.have.set(0);
  tell(2, other);
  const auto with_two = coordinator_.memory_bytes();
  auto done = wanting();
  done.have = HaveMap(256, true);
  tell(2, done);  // "all" takes no map
  EXPECT_EQ(coordinator_.memory_bytes(), with_two - 32);
  coordinator_.forget_publisher("node-1");
  EXPECT_EQ(coordinator_.memory_bytes(), 256 * 4 + 32U);
  now_ += 10'000ms;
  coordinator_.tick(now_, *peers_);
  EXPECT_EQ(coordinator_.memory_bytes(), 0U);
}

// Everything is bounded: blobs, members of a blob, neighbours of an answer. Nonsense does no harm.
class ManyMembers : public CoordinatorTest {
 protected:
  ManyMembers() : CoordinatorTest(1'000) {}
};
TEST_F(ManyMembers, BoundsItsState) {
  CoordinatorOptions options;
  options.blobs = 4;
  options.members_per_blob = 64;
  Coordinator small(options, 1, Time{0});
  for (int blob = 0; blob < 10; ++blob) {
    auto announce = wanting({0, 31, 32, 4'000'000'000U});
    announce.digest = Digest::sha256(fmt::format("blob {}", blob));
    announce.leases = {{4'000'000'000U, 1}};
    announce.released = {4'000'000'000U};
    announce.have = HaveMap(7, true);  // of another size
    small.on_announce(now_, 1, announce, *peers_);
  }
  EXPECT_EQ(small.blobs(), 4U);
  EXPECT_EQ(small.forgotten().for_blobs, 6U);
  AnnounceReply last;
  for (PeerId peer = 1; peer <= 1'000; ++peer) last = small.on_announce(now_, peer, wanting(), *peers_);
  EXPECT_LE(last.wanters, 64U);
  EXPECT_EQ(last.neighbours.size(), 32U);
  std::set<std::string> names;
  for (const auto& neighbour : last.neighbours) names.insert(neighbour.name);
  EXPECT_EQ(names.size(), 32U);
  EXPECT_EQ(last.again, 256ms);
}

// Half of the neighbours are of the asker's own tier where there are enough of them.
TEST_F(ManyMembers, NamesTheNearAndTheFar) {
  AnnounceReply last;
  for (PeerId peer = 1; peer <= 400; ++peer) last = tell(peer, wanting());
  // node-400 is in zone-b with three quarters of all; node-397 in zone-a with the rest.
  last = tell(397, wanting());
  std::size_t near = 0;
  for (const auto& neighbour : last.neighbours)
    near += peers_->find(neighbour.name)->member.location.front() == "zone-a" ? 1 : 0;
  EXPECT_GE(near, 16U);
  EXPECT_LT(near, 32U);
}

// Whoever was named to nobody yet comes first: one that came last is known to others as soon as they ask again.
TEST_F(ManyMembers, NamesWhoIsKnownToFewest) {
  for (PeerId peer = 1; peer <= 100; ++peer) tell(peer, wanting());
  std::map<std::string, int> named;
  for (PeerId peer = 1; peer <= 100; ++peer) {
    for (const auto& neighbour : tell(peer, wanting()).neighbours) ++named[neighbour.name];
  }
  EXPECT_EQ(named.size(), 100U);
  for (PeerId peer = 97; peer <= 100; ++peer) EXPECT_GE(named[fmt::format("node-{}", peer)], 16);
}

HaveMap stripes_of(std::uint32_t begin, std::uint32_t end) {
  HaveMap have(256);
  for (auto stripe = begin; stripe < end; ++stripe) have.set(stripe);
  return have;
}

// A node with a slow uplink gets a span as fast as any other, and nobody gets it from there: after twice a lease's
// time it is leased again, and that node is given no other. Only so many spans, though.
TEST_F(ManyMembers, LeasesASpanAgainThatComesToNobody) {
  for (PeerId peer = 1; peer <= 20; ++peer) tell(peer, wanting());
  auto slow = wanting();
  slow.have = stripes_of(0, 24);
  tell(1, slow);
  EXPECT_TRUE(tell(2, wanting({0, 1, 2})).granted.empty());
  now_ += 1'900ms;
  tell(1, slow);
  EXPECT_TRUE(tell(3, wanting({0, 1, 2})).granted.empty());
  // Half of span 1 has come to somebody.
  auto other = wanting();
  other.have = stripes_of(8, 12);
  tell(4, other);
  now_ += 2'200ms;
  const auto again = tell(5, wanting({0, 1, 2})).granted;
  ASSERT_EQ(again.size(), 1U);  // one lease each, in so large a crowd
  EXPECT_EQ(again[0].span, 0U);
  auto greedy = slow;
  greedy.ask = {8};
  EXPECT_TRUE(tell(1, greedy).granted.empty());
  EXPECT_EQ(tell(6, wanting({2})).granted.size(), 1U);
  // Four of 32 spans is what it may cost.
  slow.have = stripes_of(0, 128);
  tell(1, slow);
  for (PeerId peer = 7; peer <= 20; ++peer) tell(peer, wanting({peer - 3U}));
  now_ += 4'100ms;
  tell(1, slow);
  std::size_t more = 0;
  for (PeerId peer = 7; peer <= 15; ++peer) more += tell(peer, wanting({peer - 3U})).granted.size();
  EXPECT_EQ(more, 2U);
}

// What one member holds of a blob that it has all of is not fetched again, however long the others wait.
TEST_F(ManyMembers, LeavesAHolderOfAllOfItAlone) {
  for (PeerId peer = 2; peer <= 20; ++peer) tell(peer, wanting());
  tell(1, holding(HaveMap(256, true)));
  tell(2, wanting({0}));
  now_ += 4'000ms;
  EXPECT_TRUE(tell(3, wanting({0})).granted.empty());
}

// Who lost a lease midway has a part of the span; whoever gets the next lease is told of it, also when it asks for no
// neighbours.
TEST_F(ManyMembers, NamesWhoHoldsTheRestOfASpan) {
  for (PeerId peer = 1; peer <= 100; ++peer) tell(peer, wanting());
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  auto claim = wanting();
  claim.have = stripes_of(0, 3);
  claim.leases = {{0, 3 * kMiB}};
  now_ += 500ms;
  tell(1, claim);
  now_ += 2'100ms;  // without progress: it has expired
  auto next = wanting({0});
  next.want_neighbours = false;
  const auto reply = tell(2, next);
  ASSERT_EQ(reply.granted.size(), 1U);
  ASSERT_EQ(reply.neighbours.size(), 1U);
  EXPECT_EQ(reply.neighbours[0].name, "node-1");
  EXPECT_EQ(reply.neighbours[0].stripes, 3U);
}

// With more members than it remembers a coordinator forgets others before those that fetch under a lease.
TEST_F(ManyMembers, KeepsThoseWithLeases) {
  CoordinatorOptions options;
  options.members_per_blob = 64;
  Coordinator small(options, 1, Time{0});
  EXPECT_EQ(small.on_announce(now_, 1, wanting({0}), *peers_).granted.size(), 1U);
  for (PeerId peer = 2; peer <= 600; ++peer) small.on_announce(now_, peer, wanting(), *peers_);
  EXPECT_EQ(small.leases(), 1U);
}

// What the holder had of the span before is in its first claim, and is no byte of the lease: the registry may think as
// long as before anybody's first byte.
TEST_F(CoordinatorTest, WhatWasThereBeforeIsNoProgress) {
  HaveMap part(256);
  for (std::uint32_t stripe = 0; stripe < 3; ++stripe) part.set(stripe);
  auto ask = wanting({0});
  ask.have = part;
  ASSERT_EQ(tell(1, ask).granted.size(), 1U);
  auto claim = wanting();
  claim.have = part;
  claim.leases = {{0, 3 * kMiB}};
  for (int i = 0; i < 20; ++i) {
    now_ += 200ms;
    EXPECT_TRUE(tell(1, claim).lost.empty());
    EXPECT_TRUE(tell(2, wanting({0})).granted.empty()) << (now_ - Time{100'000}).count() << " ms";
  }
}

// On the slowest links as well a lease's time is one that others can read.
TEST_F(CoordinatorTest, ALeaseLastsAnHourAtMost) {
  ASSERT_EQ(tell(1, wanting({0})).granted.size(), 1U);
  for (std::uint64_t i = 1; i < 4'000; ++i) {
    now_ += 1'000ms;
    auto claim = wanting();
    claim.leases = {{0, i * 2'048}};
    ASSERT_TRUE(tell(1, claim).lost.empty());
  }
  HaveMap first_span(256);
  for (std::uint32_t stripe = 0; stripe < 8; ++stripe) first_span.set(stripe);
  auto done = wanting({1});
  done.have = first_span;
  done.released = {0};
  const auto reply = tell(1, done);
  ASSERT_EQ(reply.granted.size(), 1U);
  EXPECT_GT(reply.granted[0].ttl, 60s);
  EXPECT_LE(reply.granted[0].ttl, 1h);
}

}  // namespace
}  // namespace oxbow::p2p

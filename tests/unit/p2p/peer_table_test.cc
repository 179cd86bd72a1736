// The peer table's rules about who may be selected. Who is who (names, addresses) is in peer_roster_test.cc.
#include "p2p/peer_table.h"

#include <gtest/gtest.h>

#include <thread>

#include "table_site.h"

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;

class PeerTableTest : public ::testing::Test, public TableSite {
 protected:
  PeerTableTest() { table_.set_members(named({"a", "b", "c"})); }
  void fail_times(PeerId peer, int times) {
    for (int i = 0; i < times; ++i) table_.note_failure(peer, Error(Errc::kTimeout, "no answer"));
  }
  void serve(PeerId peer, int stripes) {
    for (int i = 0; i < stripes; ++i) table_.note_stripe(peer, 10, 1e6);
  }
};

// A node is a member of its own ring, alone when membership knows nobody, and takes its turn among the ranked.
TEST_F(PeerTableTest, KnowsItself) {
  const TableSite alone;
  EXPECT_EQ(alone.table_.snapshot()->ranked(7, 3), std::vector{alone.table_.snapshot()->self()});
  const auto snapshot = table_.snapshot();
  EXPECT_EQ(snapshot->peers().size(), 4U);
  EXPECT_EQ(snapshot->ranked(7, 10).size(), 4U);
  EXPECT_EQ(snapshot->eligible_others(), 3U);
  EXPECT_TRUE(snapshot->find("self")->self);
}

// Three failures in a row open the circuit for a second, and the next opening lasts twice as long, up to 30 s.
TEST(PeerCircuit, OpensAndDoubles) {
  PeerTableOptions options;
  options.probe_interval = std::chrono::hours(1);  // so that silence does not come first
  TableSite site(options);
  site.table_.set_members(named({"a"}));
  const auto a = site.id("a");
  const auto fail_once = [&] { site.table_.note_failure(a, Error(Errc::kTimeout, "no answer")); };
  fail_once();
  fail_once();
  EXPECT_EQ(site.state("a"), PeerState::kEligible);
  fail_once();
  for (const auto open_ms : {1'000, 2'000, 4'000, 8'000, 16'000, 30'000, 30'000}) {
    EXPECT_EQ(site.state("a"), PeerState::kCircuitOpen);
    fail_once();  // what was under way when it opened does not lengthen it, and its late answers do not close it
    site.table_.note_contact(a);
    site.pass(milliseconds(open_ms - 1));
    EXPECT_EQ(site.state("a"), PeerState::kCircuitOpen) << open_ms;
    site.pass(milliseconds(1));
    EXPECT_EQ(site.state("a"), PeerState::kEligible) << open_ms;
    fail_once();  // half-open: one is enough
  }
}

// Half-open, one contact closes the circuit: three failures are needed again.
TEST_F(PeerTableTest, OneContactClosesAHalfOpenCircuit) {
  const auto a = id("a");
  fail_times(a, 3);
  pass(milliseconds(1'000));
  table_.note_contact(a);
  fail_times(a, 2);
  EXPECT_EQ(state("a"), PeerState::kEligible);
  fail_times(a, 1);
  EXPECT_EQ(state("a"), PeerState::kCircuitOpen);
}

// What an answer tells of the peer's load is published with the next tick; an answer without it leaves it as it was.
TEST_F(PeerTableTest, AnswersTellTheLoad) {
  const auto a = id("a");
  EXPECT_EQ(table_.snapshot()->find(a)->load, Load{});
  const Load busy{.used = 8, .slots = 8, .waiting = 3};
  table_.note_contact(a, busy);
  table_.tick();
  EXPECT_EQ(table_.snapshot()->find(a)->load, busy);
  table_.note_contact(a);
  table_.tick();
  EXPECT_EQ(table_.snapshot()->find(a)->load, busy);
}

// A success between failures is a success: only failures in a row count; and answers such as "busy" are no failures.
TEST_F(PeerTableTest, OnlyFailuresInARowCount) {
  const auto a = id("a");
  fail_times(a, 2);
  table_.note_contact(a);
  fail_times(a, 2);
  for (const auto code : {Errc::kBusy, Errc::kNotFound, Errc::kCancelled})
    table_.note_failure(a, Error(code, "answer"));
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// A hello that answers while the circuit is open makes the peer selectable at once: it has come back.
TEST_F(PeerTableTest, AHelloEndsTheOpenTime) {
  const auto a = id("a");
  fail_times(a, 3);
  table_.note_hello(a, facts("a"));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  fail_times(a, 1);
  EXPECT_EQ(state("a"), PeerState::kCircuitOpen);
}

// Who says hello all the time but cannot be reached (a wrong `advertise`, a firewall that lets one direction pass)
// turns silent like anybody else, is asked once an interval meanwhile, and is back with its first answer.
TEST_F(PeerTableTest, AGreetingIsNoContact) {
  const auto a = id("a");
  const auto asked = [&] { return std::ranges::count(table_.take_probe_targets(10, 10), a, &ProbeTarget::peer) == 1; };
  for (int i = 0; i < 4; ++i) {
    table_.note_greeting(a, facts("a"));
    EXPECT_TRUE(asked());
    table_.note_greeting(a, facts("a"));
    EXPECT_FALSE(asked());
    fail_times(a, 1);
    pass(milliseconds(5'000));
  }
  EXPECT_EQ(state("a"), PeerState::kSilent);
  table_.note_greeting(a, facts("a"));
  EXPECT_EQ(state("a"), PeerState::kSilent);
  table_.note_hello(a, facts("a"));
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// Nor does it close a circuit, open or half-open; but who greets is asked in the next round, though requests that
// failed meanwhile would put that off.
TEST_F(PeerTableTest, AGreetingDoesNotCloseTheCircuit) {
  const auto a = id("a");
  const auto asked = [&] { return std::ranges::count(table_.take_probe_targets(10, 10), a, &ProbeTarget::peer) == 1; };
  EXPECT_TRUE(asked());
  table_.note_hello(a, facts("a"));
  fail_times(a, 3);
  table_.note_greeting(a, facts("a"));
  EXPECT_EQ(state("a"), PeerState::kCircuitOpen);
  pass(milliseconds(5'000));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  table_.note_greeting(a, facts("a"));
  fail_times(a, 1);
  EXPECT_EQ(state("a"), PeerState::kCircuitOpen);
  EXPECT_FALSE(asked());
  table_.note_greeting(a, facts("a"));
  EXPECT_TRUE(asked());
  table_.note_greeting(a, facts("a"));
  EXPECT_FALSE(asked());
}

// What a greeting says counts all the same, and a new process begins anew.
TEST_F(PeerTableTest, AGreetingTellsFactsAndRestarts) {
  std::vector<PeerId> restarted;
  table_.on_restart([&](PeerId peer) { restarted.push_back(peer); });
  const auto a = id("a");
  auto said = facts("a", 1);
  said.draining = true;
  table_.note_greeting(a, said);
  EXPECT_EQ(state("a"), PeerState::kDraining);
  fail_times(a, 3);
  table_.note_greeting(a, facts("a", 2));
  EXPECT_EQ(restarted, std::vector{a});
  EXPECT_EQ(state("a"), PeerState::kEligible);
  table_.note_greeting(a, facts("b"));  // not its name
  EXPECT_EQ(table_.snapshot()->find(a)->incarnation, 2U);
}

// Bad bytes suspend for ten minutes, the next time for twenty; several reports of one batch are one offence; a restart
// of the peer does not clear it.
TEST_F(PeerTableTest, SuspensionDoubles) {
  const auto a = id("a");
  table_.note_hello(a, facts("a", 1));
  table_.suspend(a, "bad stripe");
  table_.suspend(a, "bad stripe");
  EXPECT_EQ(state("a"), PeerState::kSuspended);
  table_.note_hello(a, facts("a", 2));
  pass(std::chrono::minutes(10) - milliseconds(1));
  EXPECT_EQ(state("a"), PeerState::kSuspended);
  pass(milliseconds(1));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  table_.suspend(a, "bad stripe");
  pass(std::chrono::minutes(19));
  EXPECT_EQ(state("a"), PeerState::kSuspended);
  pass(std::chrono::minutes(1));
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// Silence is three probe intervals without contact and a question that was not answered: a peer that nobody asked is
// not silent, and one answer ends it.
TEST_F(PeerTableTest, SilenceNeedsAQuestion) {
  pass(std::chrono::minutes(5));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  fail_times(id("a"), 1);
  EXPECT_EQ(state("a"), PeerState::kSilent);
  table_.note_contact(id("a"));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  pass(milliseconds(1));
  fail_times(id("a"), 1);
  pass(milliseconds(14'999));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  pass(milliseconds(1));
  EXPECT_EQ(state("a"), PeerState::kSilent);
}

// Who is silent for one question that was lost is asked once before its turn, so that it is back soon; then it waits
// like the others.
TEST_F(PeerTableTest, DoubtIsSettledFirst) {
  const auto first = [&] {
    const auto targets = table_.take_probe_targets(1, 0);
    return targets.empty() ? kNoPeer : targets.front().peer;
  };
  pass(std::chrono::minutes(5));
  const auto a = id("a");
  fail_times(a, 2);  // a hello that was not answered counts twice
  EXPECT_EQ(state("a"), PeerState::kSilent);
  pass(milliseconds(5'000));
  EXPECT_EQ(first(), a);
  table_.note_hello(a, facts("a"));
  EXPECT_EQ(state("a"), PeerState::kEligible);
  pass(std::chrono::minutes(5));
  fail_times(a, 2);
  pass(milliseconds(5'000));
  EXPECT_EQ(first(), a);
  fail_times(a, 2);
  pass(milliseconds(5'000));
  EXPECT_NE(first(), a);
}

// What a hello says decides: draining, no common protocol version; and it is undone by the next hello.
TEST_F(PeerTableTest, HellosDecide) {
  auto said = facts("a");
  said.draining = true;
  table_.note_hello(id("a"), said);
  EXPECT_EQ(state("a"), PeerState::kDraining);
  said.draining = false;
  said.protocol_oldest = said.protocol_newest = kProtocolNewest + 1;
  table_.note_hello(id("a"), said);
  EXPECT_EQ(state("a"), PeerState::kIncompatible);
  said.protocol_oldest = kProtocolNewest;
  table_.note_hello(id("a"), said);
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// A revoked identity is never selected and never asked, whatever else is true of it.
TEST_F(PeerTableTest, RevokedIsOut) {
  table_.set_revoked({"z", "b"});
  table_.note_contact(id("b"));
  EXPECT_EQ(state("b"), PeerState::kRevoked);
  EXPECT_EQ(table_.snapshot()->eligible_others(), 2U);
  for (const auto& target : table_.take_probe_targets(10, 10)) EXPECT_NE(target.peer, id("b"));
  table_.set_revoked({});
  EXPECT_EQ(state("b"), PeerState::kEligible);
}

// Who is not eligible is left out of the ranking and the order of the others stays.
TEST_F(PeerTableTest, RankingLeavesOutWhoIsNotEligible) {
  auto ranked = table_.snapshot()->ranked(42, 4);
  table_.suspend(id("b"), "bad stripe");
  std::erase(ranked, id("b"));
  EXPECT_EQ(table_.snapshot()->ranked(42, 4), ranked);
}

// A peer is vetted by 32 verified stripes.
TEST_F(PeerTableTest, VettedAfter32Stripes) {
  serve(id("a"), 31);
  EXPECT_FALSE(table_.snapshot()->find("a")->vetted);
  serve(id("a"), 1);
  EXPECT_TRUE(table_.snapshot()->find("a")->vetted);
  EXPECT_EQ(table_.snapshot()->vetted_others(), 1U);
}

// New peers get five percent among equals, but only while at least half of the peers are vetted: a new cluster is not
// throttled by its own newness.
TEST_F(PeerTableTest, ProbationOnlyWhileHalfAreVetted) {
  const auto passes = [&](const char* name, double draw) {
    const auto snapshot = table_.snapshot();
    return PeerTable::passes_probation(*snapshot, *snapshot->find(name), 0.05, draw);
  };
  serve(id("a"), 32);
  EXPECT_TRUE(passes("c", 0.99));  // one of three is vetted
  serve(id("b"), 32);
  EXPECT_FALSE(passes("c", 0.05));
  EXPECT_TRUE(passes("c", 0.049));
  EXPECT_TRUE(passes("a", 0.99));
  EXPECT_TRUE(passes("self", 0.99));
  table_.suspend(id("a"), "bad stripe");  // b of b and c: still half
  EXPECT_FALSE(passes("c", 0.5));
}

// Latency and goodput are averages that follow; they reach the snapshot with the next tick, not with every stripe.
TEST_F(PeerTableTest, MeasuresArePublishedByTheTick) {
  const auto before = table_.snapshot()->revision();
  table_.note_stripe(id("a"), 100, 1e6);
  table_.note_stripe(id("a"), 200, 2e6);
  EXPECT_EQ(table_.snapshot()->revision(), before);
  table_.tick();
  EXPECT_DOUBLE_EQ(table_.snapshot()->find("a")->latency_ms, 120);
  EXPECT_DOUBLE_EQ(table_.snapshot()->find("a")->goodput, 1.2e6);
}

// A snapshot is never older than 30 s, and ticks without news build nothing.
TEST_F(PeerTableTest, SnapshotsAreRebuiltEvery30Seconds) {
  const auto before = table_.snapshot()->revision();
  pass(milliseconds(29'999));
  EXPECT_EQ(table_.snapshot()->revision(), before);
  pass(milliseconds(1));
  EXPECT_EQ(table_.snapshot()->revision(), before + 1);
}

// Listeners get each change once, outside the lock: they may call back into the table.
TEST_F(PeerTableTest, ListenersMayCallBack) {
  std::vector<std::uint64_t> told;
  table_.on_change([&](const std::shared_ptr<const PeerSnapshot>& snapshot) {
    told.push_back(snapshot->revision());
    table_.note_contact(snapshot->peers().front().id);
  });
  table_.suspend(id("a"), "bad stripe");
  table_.note_contact(id("b"));  // nothing new
  EXPECT_EQ(told, std::vector{table_.snapshot()->revision()});
}

// A hello with another incarnation tells that the peer has restarted: told once, and its open circuit is forgotten.
TEST_F(PeerTableTest, ARestartIsTold) {
  std::vector<PeerId> restarted;
  table_.on_restart([&](PeerId peer) { restarted.push_back(peer); });
  table_.note_hello(id("a"), facts("a", 1));
  table_.note_hello(id("a"), facts("a", 1));
  EXPECT_TRUE(restarted.empty());
  fail_times(id("a"), 3);
  table_.note_hello(id("a"), facts("a", 2));
  EXPECT_EQ(restarted, std::vector{id("a")});
  EXPECT_EQ(table_.snapshot()->find("a")->incarnation, 2U);
  fail_times(id("a"), 2);
  EXPECT_EQ(state("a"), PeerState::kEligible);
}

// The gauges count the others by state.
TEST_F(PeerTableTest, GaugesCountStates) {
  table_.suspend(id("a"), "bad stripe");
  EXPECT_EQ(gauge("eligible"), 2);
  EXPECT_EQ(gauge("suspended"), 1);
  pass(std::chrono::minutes(10));
  EXPECT_EQ(gauge("eligible"), 3);
  EXPECT_EQ(gauge("suspended"), 0);
}

// Snapshots are read while others change the table; what is read is always whole.
TEST_F(PeerTableTest, ReadersNeedNoLock) {
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!stop) {
      const auto snapshot = table_.snapshot();
      EXPECT_GE(snapshot->revision(), last);
      last = snapshot->revision();
      EXPECT_EQ(snapshot->peers().size(), snapshot->ring().size());
      EXPECT_FALSE(snapshot->ranked(last, 2).empty());
    }
  });
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) table_.set_members(named({"a", "b", "n" + std::to_string(i)}));
  });
  for (std::uint64_t i = 0; i < 200; ++i) {
    serve(id("a"), 1);
    table_.note_hello(id("b"), facts("b", i));
    table_.tick();
  }
  writer.join();
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace oxbow::p2p

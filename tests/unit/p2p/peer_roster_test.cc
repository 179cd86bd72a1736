// Who is who: names, addresses, ids, and what is remembered of those that left.
#include <gtest/gtest.h>

#include "table_site.h"

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;

/// The id under which an address that has no name yet is probed.
PeerId pending(PeerTable& table, const std::string& address) {
  for (const auto& target : table.take_probe_targets(0, 100)) {
    if (target.address == address) return target.peer;
  }
  return kNoPeer;
}

// A name keeps its id through views, and an id is never another name's.
TEST(PeerRoster, IdsAreStableByName) {
  TableSite site;
  site.table_.set_members(named({"a", "b"}));
  const auto a = site.id("a");
  const auto b = site.id("b");
  site.table_.set_members(named({"b", "c", "a"}));
  EXPECT_EQ(site.id("a"), a);
  EXPECT_EQ(site.id("b"), b);
  site.table_.set_members(named({"b"}));
  site.pass(std::chrono::hours(1));
  site.table_.set_members(named({"b", "a", "d"}));
  EXPECT_NE(site.id("a"), a);  // forgotten: a new number, and nobody got the old one
  for (const auto& peer : site.table_.snapshot()->peers()) EXPECT_NE(peer.id, a);
}

// Members known by address only have no place on the ring before a hello has told their name; then the id stays.
TEST(PeerRoster, AHelloNamesAnAddress) {
  TableSite site;
  site.table_.set_members(at({"10.0.0.8:5051", "10.0.0.9:5051"}));
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 1U);
  EXPECT_EQ(site.gauge("unnamed"), 2);
  const auto number = pending(site.table_, "10.0.0.8:5051");
  EXPECT_EQ(site.table_.note_hello_at("10.0.0.8:5051", facts("node-8", 77)), number);
  EXPECT_EQ(site.id("node-8"), number);
  EXPECT_EQ(site.table_.snapshot()->find("node-8")->incarnation, 77U);
  EXPECT_EQ(site.table_.snapshot()->find("node-8")->member.addresses, std::vector<std::string>{"10.0.0.8:5051"});
  EXPECT_EQ(site.gauge("unnamed"), 1);
  site.table_.set_members(at({"10.0.0.9:5051", "10.0.0.8:5051"}));  // the name is remembered
  EXPECT_EQ(site.id("node-8"), number);
}

// Somebody who says hello and tells an address where nobody is known yet is a member at once.
TEST(PeerRoster, AClaimNamesAnAddress) {
  TableSite site;
  site.table_.set_members(at({"10.0.0.8:5051"}));
  const auto number = pending(site.table_, "10.0.0.8:5051");
  EXPECT_EQ(site.table_.note_claim("10.0.0.8:5051", facts("node-8")), number);
  EXPECT_EQ(site.state("node-8"), PeerState::kEligible);
  EXPECT_EQ(site.table_.note_claim("10.9.9.9:5051", facts("stranger")), kNoPeer);
}

// Where somebody is known, a claim only makes that address be asked, once an interval, although its peer is heard of
// all the time; and who answers there has it.
TEST(PeerRoster, AClaimTakesNoAddress) {
  TableSite site;
  const std::string address = "10.0.0.8:5051";
  site.table_.set_members(at({address, "10.0.0.9:5051"}));
  site.table_.note_hello_at(address, facts("node-8"));
  const auto peer = site.id("node-8");
  site.pass(milliseconds(5'000));
  const auto claimed = [&] {
    site.table_.note_contact(peer);
    EXPECT_EQ(site.table_.note_claim(address, facts("node-9")), kNoPeer);
    EXPECT_EQ(site.id("node-8"), peer);
    EXPECT_EQ(site.id("node-9"), kNoPeer);
    return site.table_.take_probe_targets(10, 0);
  };
  const auto targets = claimed();
  ASSERT_EQ(targets.size(), 1U);
  EXPECT_EQ(targets[0].peer, peer);
  EXPECT_EQ(targets[0].address, address);
  EXPECT_TRUE(targets[0].by_address);
  EXPECT_EQ(site.table_.note_hello_at(address, facts("node-8")), peer);
  EXPECT_TRUE(claimed().empty());
  site.pass(milliseconds(5'000));
  EXPECT_EQ(claimed().size(), 1U);
  EXPECT_NE(site.table_.note_hello_at(address, facts("node-9")), kNoPeer);
  EXPECT_EQ(site.id("node-8"), kNoPeer);
  EXPECT_NE(site.id("node-9"), kNoPeer);
}

// Nobody claims this node's address or one that membership names; whose name was revoked has none to lose.
TEST(PeerRoster, WhatCannotBeClaimed) {
  TableSite site;
  auto view = at({"self:5051", "10.0.0.8:5051"});
  view.push_back(member("a", {"a:5051"}));
  site.table_.set_members(view);
  site.table_.note_hello_at("10.0.0.8:5051", facts("node-8"));
  EXPECT_EQ(site.table_.note_claim("self:5051", facts("thief")), kNoPeer);
  EXPECT_EQ(site.table_.note_claim("a:5051", facts("thief")), kNoPeer);
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 3U);
  for (const auto& target : site.table_.take_probe_targets(10, 0)) EXPECT_FALSE(target.by_address);
  site.table_.set_revoked({"node-8"});
  EXPECT_NE(site.table_.note_claim("10.0.0.8:5051", facts("node-9")), kNoPeer);
  EXPECT_NE(site.id("node-9"), kNoPeer);
}

// Two addresses that turn out to be one name become one peer; notes under either number reach it.
TEST(PeerRoster, TwoAddressesOfOneNameMerge) {
  TableSite site;
  site.table_.set_members(at({"10.0.0.8:5051", "[fd00::8]:5051"}));
  const auto second = pending(site.table_, "[fd00::8]:5051");
  site.table_.note_hello_at("10.0.0.8:5051", facts("node-8"));
  const auto first = site.id("node-8");
  EXPECT_EQ(site.table_.note_hello_at("[fd00::8]:5051", facts("node-8")), first);
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 2U);
  EXPECT_EQ(site.table_.snapshot()->find("node-8")->member.addresses.size(), 2U);
  site.table_.suspend(second, "bad stripe");
  EXPECT_EQ(site.state("node-8"), PeerState::kSuspended);
}

// This node is recognised in a view by its address, and when it is reached under an address that it did not know of.
TEST(PeerRoster, RecognisesItself) {
  TableSite site;
  site.table_.set_members(at({"self:5051", "192.168.1.1:5051"}));
  EXPECT_EQ(site.gauge("unnamed"), 1);
  EXPECT_EQ(site.table_.note_hello_at("192.168.1.1:5051", facts("self")), site.table_.snapshot()->self());
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 1U);
  EXPECT_EQ(site.gauge("unnamed"), 0);
  site.table_.set_members(named({"self", "a"}));
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 2U);
}

// A view that names a member twice, or names it and lists its address, has one member.
TEST(PeerRoster, DuplicatesAreMerged) {
  TableSite site;
  auto view = named({"a", "b", "a"});
  view[2].addresses = {"10.0.0.1:5051"};
  view.push_back(member("", {"10.0.0.1:5051"}));
  view.push_back(member("", {"b:5051"}));
  view.push_back(member("", {}));
  site.table_.set_members(view);
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 3U);
  EXPECT_EQ(site.table_.snapshot()->find("a")->member.addresses, (std::vector<std::string>{"a:5051", "10.0.0.1:5051"}));
  EXPECT_EQ(site.gauge("unnamed"), 0);
}

// An address that was given to another node brings that node's name; the old name leaves.
TEST(PeerRoster, AnAddressMayChangeHands) {
  TableSite site;
  site.table_.set_members(at({"10.0.0.8:5051"}));
  site.table_.note_hello_at("10.0.0.8:5051", facts("node-8"));
  const auto old = site.id("node-8");
  site.table_.note_hello_at("10.0.0.8:5051", facts("node-9"));
  EXPECT_EQ(site.id("node-8"), kNoPeer);
  EXPECT_NE(site.id("node-9"), kNoPeer);
  EXPECT_NE(site.id("node-9"), old);
}

// A name that was learned is asked for again at its address when the peer went silent: somebody else may be there.
TEST(PeerRoster, SilentLearnedNamesAreAskedByAddress) {
  TableSite site;
  auto view = at({"10.0.0.8:5051"});
  view.push_back(member("a", {"a:5051"}));
  site.table_.set_members(view);
  site.table_.note_hello_at("10.0.0.8:5051", facts("node-8"));
  site.pass(std::chrono::minutes(1));
  for (const auto* name : {"a", "node-8"}) site.table_.note_failure(site.id(name), Error(Errc::kTimeout, "no answer"));
  site.pass(std::chrono::minutes(1));
  const auto targets = site.table_.take_probe_targets(10, 10);
  ASSERT_EQ(targets.size(), 2U);
  for (const auto& target : targets) EXPECT_EQ(target.by_address, target.peer == site.id("node-8"));
}

// Where membership gives names, an answer with another name changes nothing: it counts against the peer.
TEST(PeerRoster, ANameOfTheViewIsNotOverruled) {
  TableSite site;
  site.table_.set_members(named({"a", "b"}));
  const auto a = site.id("a");
  EXPECT_EQ(site.table_.note_hello_at("a:5051", facts("b")), kNoPeer);
  for (int i = 0; i < 3; ++i) site.table_.note_hello(a, facts("b"));
  EXPECT_EQ(site.id("a"), a);
  EXPECT_EQ(site.state("a"), PeerState::kCircuitOpen);
  EXPECT_EQ(site.table_.note_hello_at("10.9.9.9:5051", facts("stranger")), kNoPeer);
  EXPECT_EQ(site.table_.note_hello_at("10.9.9.9:5051", facts("b")), site.id("b"));  // from behind another address
}

// Leaving and coming back is no way out of a suspension, however long the others are remembered.
TEST(PeerRoster, SuspensionOutlastsTheView) {
  PeerTableOptions options;
  options.suspension = std::chrono::hours(2);
  TableSite site(options);
  site.table_.set_members(named({"a", "b"}));
  const auto b = site.id("b");
  site.table_.suspend(site.id("a"), "bad stripe");
  site.table_.set_members({});
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 1U);
  site.pass(std::chrono::minutes(90));
  site.table_.set_members(named({"a", "b"}));
  EXPECT_EQ(site.state("a"), PeerState::kSuspended);
  EXPECT_NE(site.id("b"), b);
}

// The location and weight of a hello speak before those of the view, and the ring follows the weight.
TEST(PeerRoster, HellosFillTheMember) {
  TableSite site;
  site.table_.set_members(named({"a", "b"}));
  auto said = facts("a");
  said.location = {"zone-a", "row-1"};
  said.weight = 8;
  site.table_.note_hello(site.id("a"), said);
  const auto snapshot = site.table_.snapshot();
  EXPECT_EQ(snapshot->find("a")->member.location, said.location);
  int owned = 0;
  for (Key key = 0; key < 1000; ++key) owned += snapshot->ranked(key, 1).front() == site.id("a") ? 1 : 0;
  EXPECT_NEAR(owned, 800, 60);
}

// In a large cluster names that hellos tell are collected until the tick: a ring of thousands is not built per hello.
TEST(PeerRoster, LargeClustersCollectChanges) {
  PeerTableOptions options;
  options.rebuild_at_once_max = 2;
  TableSite site(options);
  site.table_.set_members(at({"w:1", "x:1", "y:1"}));
  const auto before = site.table_.snapshot()->revision();
  site.table_.note_hello_at("x:1", facts("x"));
  site.table_.note_hello_at("y:1", facts("y"));
  EXPECT_EQ(site.table_.snapshot()->revision(), before);
  site.clock_.advance(milliseconds(5'000));
  EXPECT_EQ(site.table_.take_probe_targets(10, 10).size(), 1U);  // only w is still without a name
  site.table_.tick();
  EXPECT_EQ(site.table_.snapshot()->revision(), before + 1);
  EXPECT_NE(site.id("x"), kNoPeer);
  EXPECT_NE(site.id("y"), kNoPeer);
}

// A view beyond the limit is cut, and the limit is counted.
TEST(PeerRoster, ViewsAreBounded) {
  PeerTableOptions options;
  options.members_max = 3;
  TableSite site(options);
  site.table_.set_members(named({"a", "b", "c", "d"}));
  EXPECT_EQ(site.table_.snapshot()->peers().size(), 4U);
  EXPECT_EQ(limit_counter(site.metrics_, "peer_members").Value(), 1);
  for (int i = 0; i < 5; ++i) site.table_.set_members(named({"n" + std::to_string(3 * i)}));
  site.table_.tick();  // of six that left three are remembered
  EXPECT_EQ(limit_counter(site.metrics_, "peer_members").Value(), 2);
}

// A node without a weight of its own has the view's, whatever it has said of itself before.
TEST(PeerRoster, TakesItsWeightFromTheView) {
  TableSite site;
  const auto weight = [&] { return site.table_.snapshot()->find("self")->member.weight; };
  EXPECT_EQ(weight(), 1);
  auto view = named({"self", "a"});
  view[0].weight = 4;
  view.push_back(member("", {"192.168.1.1:5051"}));
  site.table_.set_members(view);
  const auto fingerprint = site.table_.snapshot()->ring().fingerprint();
  EXPECT_EQ(weight(), 4);
  site.table_.note_hello_at("192.168.1.1:5051", facts("self"));
  EXPECT_EQ(weight(), 4);
  view[0].weight = 2;
  site.table_.set_members(view);
  EXPECT_EQ(weight(), 2);
  EXPECT_NE(site.table_.snapshot()->ring().fingerprint(), fingerprint);

  Member self = member("self", {"self:5051"});
  self.weight = 3;
  PeerTable configured(self, {}, site.clock_, site.metrics_);
  configured.set_members(view);
  EXPECT_EQ(configured.snapshot()->find("self")->member.weight, 3);
}

// A node without a location of its own is where the view finds it.
TEST(PeerRoster, TakesItsLocationFromTheView) {
  TableSite site;
  auto view = named({"self", "a", "b"});
  view[0].location = {"z1", "r1"};
  view[1].location = {"z1", "r1"};
  view[2].location = {"z1"};
  site.table_.set_members(view);
  const auto near = [&](std::string_view name) { return site.table_.snapshot()->find(name)->near; };
  EXPECT_EQ(near("a"), 2U);
  EXPECT_EQ(near("b"), 1U);
  view[0].location = {"z2"};
  site.table_.set_members(view);
  EXPECT_EQ(near("a"), 0U);
}

}  // namespace
}  // namespace oxbow::p2p

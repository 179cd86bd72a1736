// Who is told what this node holds, and when.
#include "mirror/announcer.h"

#include <set>

#include "p2p/peer_table.h"
#include "peer_site.h"

namespace oxbow::mirror {
namespace {

p2p::Member member(const std::string& name) {
  p2p::Member one;
  one.name = name;
  one.addresses = {name + ":5051"};
  return one;
}

class AnnouncerTest : public PeerSite {
 protected:
  AnnouncerTest() {
    options_.gather = std::chrono::milliseconds(5);
    options_.settle = std::chrono::milliseconds(20);
    options_.again = std::chrono::hours(1);
  }
  ~AnnouncerTest() override {
    announcer_->stop();
    settle();
  }

  void start() {
    announcer_ = std::make_shared<Announcer>(
        options_, *blobs_, table_, loops_.at(0),
        [this](p2p::PeerId peer, std::vector<p2p::Announce> announces) { return send(peer, std::move(announces)); },
        "self");
    announcer_->start();
  }
  Task<bool> send(p2p::PeerId peer, std::vector<p2p::Announce> announces) {
    const std::lock_guard lock(mutex_);
    if (failures_ > 0) {
      --failures_;
      co_return false;
    }
    for (auto& one : announces) told_.emplace_back(peer, std::move(one));
    batches_.push_back(announces.size());
    co_return true;
  }
  std::vector<std::pair<p2p::PeerId, p2p::Announce>> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  void ring(const std::vector<std::string>& names) {
    std::vector<p2p::Member> members;
    for (const auto& name : names) members.push_back(member(name));
    table_.set_members(members);
  }
  /// The blob is here, and coordinator and successor have heard of it; what goes of it is looked for soon.
  bool told_of_all() {
    options_.look = std::chrono::milliseconds(20);
    options_.settle = std::chrono::hours(1);
    expect_right(read(whole()));
    settle();
    ring({"a", "b", "c"});
    start();
    announcer_->holds(digest_);
    return eventually([&] { return told().size() == 2; });
  }

  Announcer::Options options_;
  p2p::PeerTable table_{member("self"), {}, clock_, metrics_};
  std::mutex mutex_;
  std::vector<std::pair<p2p::PeerId, p2p::Announce>> told_;
  std::vector<std::size_t> batches_;
  int failures_ = 0;
  std::shared_ptr<Announcer> announcer_;
};

// Alone there is nobody to tell; what was to be told waits. Then coordinator and successor hear of it, with midstates.
TEST_F(AnnouncerTest, NewsWaitForARing) {
  options_.settle = std::chrono::hours(1);
  start();
  expect_right(read(whole()));
  settle();
  announcer_->holds(digest_);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_TRUE(told().empty());
  ring({"a", "b", "c"});
  ASSERT_TRUE(eventually([&] { return told().size() == 2; }));
  const auto heard = told();
  EXPECT_EQ((std::vector{heard[0].first, heard[1].first}).size(), 2U);
  EXPECT_NE(heard[0].first, heard[1].first);
  const auto ranked = table_.snapshot()->ranked(p2p::key_of(digest_), 2);
  for (const auto& [peer, announce] : heard) {
    EXPECT_NE(std::ranges::find(ranked, peer), ranked.end());
    EXPECT_EQ(announce.interest, p2p::Interest::kHolding);
    EXPECT_EQ(announce.size, content_.size());
    EXPECT_TRUE(announce.have.complete());
    EXPECT_EQ(announce.midstates, (p2p::MidstateList{"self", midstates_of(content_)}));
  }
}

// Everything is said after a start, without the long lists; after a change of the ring only to those who have not been
// told, and to a peer that was started anew.
TEST_F(AnnouncerTest, AfterAChangeThoseWhoHaveNotBeenTold) {
  expect_right(read(whole()));
  settle();
  ring({"a", "b", "c"});
  start();
  ASSERT_TRUE(eventually([&] { return told().size() == 2; }));
  EXPECT_FALSE(told().front().second.midstates);
  const auto first = told().front().first;
  const std::string coordinator = table_.snapshot()->find(first)->member.name;
  announcer_->ring_changed();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(told().size(), 2U);
  announcer_->restarted(coordinator);
  ASSERT_TRUE(eventually([&] { return told().size() == 3; }));
  EXPECT_EQ(told().back().first, first);
  // Without that one another takes its turn, and hears of it.
  std::vector<std::string> rest;
  for (const std::string name : {"a", "b", "c"}) {
    if (name != coordinator) rest.push_back(name);
  }
  ring(rest);
  announcer_->ring_changed();
  ASSERT_TRUE(eventually([&] { return told().size() == 4; }));
  EXPECT_NE(told().back().first, first);
}

// Changes that come faster than the ring settles do not put the announcements off for ever.
TEST_F(AnnouncerTest, ChangesWithoutAnEnd) {
  expect_right(read(whole()));
  settle();
  ring({"a", "b", "c"});
  start();
  EXPECT_TRUE(eventually([&] {
    announcer_->ring_changed();
    return told().size() == 2;
  }));
}

// Now and then everybody is told again.
TEST_F(AnnouncerTest, EverybodyAgain) {
  options_.again = std::chrono::milliseconds(50);
  expect_right(read(whole()));
  settle();
  ring({"a", "b", "c"});
  start();
  EXPECT_TRUE(eventually([&] { return told().size() >= 6; }));
}

// A coordinator that could not be told is told later.
TEST_F(AnnouncerTest, FailedOnesAreToldAgain) {
  expect_right(read(whole()));
  settle();
  ring({"a"});
  failures_ = 3;
  start();
  ASSERT_TRUE(eventually([&] { return told().size() >= 2; }));
}

// What somebody was not told when it was new is told later, and the list of midstates with it.
TEST_F(AnnouncerTest, MidstatesAreOwedToWhoCouldNotBeTold) {
  expect_right(read(whole()));
  settle();
  ring({"a"});
  failures_ = 2;
  {
    const std::lock_guard lock(mutex_);  // nobody is told anything before it is new
    start();
    announcer_->holds(digest_);
  }
  ASSERT_TRUE(eventually([&] { return !told().empty(); }));
  EXPECT_EQ(told().front().second.midstates, (p2p::MidstateList{"self", midstates_of(content_)}));
}

// What was told of and is gone is taken back, once, from those who were told.
TEST_F(AnnouncerTest, WhatHasGoneIsTakenBack) {
  ASSERT_TRUE(told_of_all());
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(told().size(), 2U);
  store_->purge(digest_);
  ASSERT_TRUE(eventually([&] { return told().size() >= 4; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  const auto heard = told();
  ASSERT_EQ(heard.size(), 4U);
  std::set<p2p::PeerId> held;
  std::set<p2p::PeerId> left;
  for (const auto& [peer, announce] : heard) {
    EXPECT_EQ(announce.digest, digest_);
    (announce.interest == p2p::Interest::kLeft ? left : held).insert(peer);
  }
  EXPECT_EQ(left.size(), 2U);
  EXPECT_EQ(left, held);
}

// News of a blob that is not here any more are no news.
TEST_F(AnnouncerTest, WhatHasGoneIsNotTold) {
  ring({"a"});
  options_.settle = std::chrono::hours(1);
  start();
  announcer_->holds(Digest::sha256(std::string_view("another")));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_TRUE(told().empty());
}

// Of a large blob some goes and the rest stays: who was told of all of it is told what is left.
TEST_F(AnnouncerTest, WhatHasShrunkIsToldAgain) {
  ASSERT_TRUE(told_of_all());
  store_->peek(digest_)->drop_stripe(1);
  ASSERT_TRUE(eventually([&] { return told().size() >= 4; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  const auto heard = told();
  ASSERT_EQ(heard.size(), 4U);
  for (std::size_t i = 2; i < 4; ++i) {
    EXPECT_EQ(heard[i].second.interest, p2p::Interest::kHolding);
    EXPECT_FALSE(heard[i].second.have.has(1));
    EXPECT_TRUE(heard[i].second.have.has(0));
  }
}

}  // namespace
}  // namespace oxbow::mirror

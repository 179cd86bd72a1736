// Who is told what this node holds, and when.
#include "mirror/announcer.h"

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

// Everything is said after a start and again after a change of the ring, without the long lists.
TEST_F(AnnouncerTest, EverythingAfterAChange) {
  expect_right(read(whole()));
  settle();
  ring({"a", "b", "c"});
  start();
  ASSERT_TRUE(eventually([&] { return told().size() == 2; }));
  EXPECT_FALSE(told().front().second.midstates);
  announcer_->say_all_soon();
  ASSERT_TRUE(eventually([&] { return told().size() == 4; }));
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

// News of a blob that is not here any more are no news.
TEST_F(AnnouncerTest, WhatHasGoneIsNotTold) {
  ring({"a"});
  options_.settle = std::chrono::hours(1);
  start();
  announcer_->holds(Digest::sha256(std::string_view("another")));
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_TRUE(told().empty());
}

}  // namespace
}  // namespace oxbow::mirror

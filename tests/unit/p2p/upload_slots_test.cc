#include "p2p/upload_slots.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using Slot = UploadSlots::Slot;

class UploadSlotsTest : public ::testing::Test {
 protected:
  /// Asks for a slot; what comes of it stands in `got_` under `who`.
  void ask(int who, std::chrono::milliseconds wait, std::uint64_t what = UploadSlots::kAnything, PeerId peer = 1,
           bool in_turn = false) {
    asio::co_spawn(loop_, slots_.acquire(wait, peer, {what, in_turn}),
                   [this, who](const std::exception_ptr&, std::optional<Slot> slot) {
                     order_.push_back(who);
                     got_[who] = std::move(slot);
                   });
    turn();
  }
  UploadSlots with(UploadSlots::Limits limits) {
    return {limits, {.used = used_, .all_hits = hits_, .same_hits = same_hits_, .share_hits = share_hits_}, clock_};
  }
  void turn() {
    loop_.restart();
    while (loop_.poll() > 0) {
    }
  }

  MetricsRegistry metrics_;
  Gauge& used_ = gauge_family(metrics_, "used", "").Add({});
  Counter& hits_ = counter_family(metrics_, "hits", "").Add({});
  Loop loop_;
  Counter& same_hits_ = counter_family(metrics_, "same_hits", "").Add({});
  Counter& share_hits_ = counter_family(metrics_, "share_hits", "").Add({});
  ManualClock clock_;
  UploadSlots slots_ = with({.slots = 2, .same = 1, .waiting = 2});
  std::map<int, std::optional<Slot>> got_;
  std::vector<int> order_;
};

constexpr std::chrono::milliseconds kLong{60'000};

// Those who wait get slots in the order in which they came, and a slot never counts twice.
TEST_F(UploadSlotsTest, FirstComeFirstServed) {
  ask(1, kLong);
  ask(2, kLong);
  ask(3, kLong);
  ask(4, kLong);
  EXPECT_EQ(order_, (std::vector{1, 2}));
  EXPECT_EQ(slots_.load(), (Load{.used = 2, .slots = 2, .waiting = 2}));
  got_[2].reset();
  turn();
  EXPECT_EQ(order_, (std::vector{1, 2, 3}));
  got_[1].reset();
  turn();
  EXPECT_EQ(order_, (std::vector{1, 2, 3, 4}));
  EXPECT_TRUE(got_[3] && got_[4]);
  EXPECT_EQ(used_.Value(), 2);
  got_.clear();
  EXPECT_EQ(slots_.load(), (Load{.used = 0, .slots = 2, .waiting = 0}));
  EXPECT_EQ(used_.Value(), 0);
  EXPECT_EQ(hits_.Value(), 0);
}

// More than the allowed number do not wait, nor does who has no time left; each is counted.
TEST_F(UploadSlotsTest, RefusesBeyondTheLimit) {
  ask(1, kLong);
  ask(2, kLong);
  ask(3, std::chrono::milliseconds(0));
  EXPECT_FALSE(got_.at(3));
  ask(4, kLong);
  ask(5, kLong);
  ask(6, kLong);
  EXPECT_FALSE(got_.at(6));
  EXPECT_EQ(hits_.Value(), 2);
  got_.erase(1);
  got_.erase(2);
  turn();
  EXPECT_TRUE(got_.at(4) && got_.at(5));
}

// Who has waited in vain leaves the queue: the slot that comes free later is nobody's.
TEST_F(UploadSlotsTest, WaitingEnds) {
  ask(1, kLong);
  ask(2, kLong);
  ask(3, std::chrono::milliseconds(1));
  loop_.restart();
  while (!got_.contains(3)) loop_.run_one();
  EXPECT_FALSE(got_.at(3));
  EXPECT_EQ(slots_.load().waiting, 0U);
  got_.erase(1);
  EXPECT_EQ(slots_.load().used, 1U);
}

// One copy more of the same waits although a slot is free; others overtake it, and it goes when the copy before it
// ends.
TEST_F(UploadSlotsTest, CopiesOfTheSameWaitForEachOther) {
  ask(1, kLong, 7);
  ask(2, kLong, 7);
  EXPECT_EQ(slots_.load(), (Load{.used = 1, .slots = 2, .waiting = 1}));
  ask(3, kLong, 8);
  EXPECT_EQ(order_, (std::vector{1, 3}));
  got_.erase(3);
  turn();
  EXPECT_EQ(order_, (std::vector{1, 3})) << "a slot came free, and it was not what it waits for";
  got_.erase(1);
  turn();
  EXPECT_EQ(order_, (std::vector{1, 3, 2}));
  EXPECT_EQ(slots_.load(), (Load{.used = 1, .slots = 2, .waiting = 0}));
  EXPECT_EQ(hits_.Value() + same_hits_.Value(), 0);
}

// Who gets none is counted by what he lacked.
TEST_F(UploadSlotsTest, RefusalsAreCountedByTheirCause) {
  ask(1, kLong, 7);
  ask(2, std::chrono::milliseconds(0), 7);
  EXPECT_FALSE(got_.at(2));
  EXPECT_EQ(same_hits_.Value(), 1);
  ask(3, kLong, 8);
  ask(4, std::chrono::milliseconds(0), 9);
  EXPECT_FALSE(got_.at(4));
  EXPECT_EQ(hits_.Value(), 1);
  EXPECT_EQ(same_hits_.Value(), 1);
}

class UploadTurnsTest : public UploadSlotsTest {
 protected:
  UploadTurnsTest() { slots_ = with({.slots = 4, .same = 3, .waiting = 2}); }
  /// Peer 7 and on ask for it, with time to wait.
  void ask_in_turn(int who, std::uint64_t what) { ask(who, kLong, what, 6 + static_cast<PeerId>(who), true); }
};

// Where copies go in turn, who comes before its turn is told so at once; another thing, and the next copy, is served.
TEST_F(UploadTurnsTest, WhoHasNoTurnDoesNotWait) {
  ask_in_turn(1, 7);
  EXPECT_TRUE(got_.at(1));
  ask_in_turn(2, 7);
  EXPECT_FALSE(got_.at(2));
  EXPECT_EQ(same_hits_.Value(), 1);
  EXPECT_EQ(slots_.load(), (Load{.used = 1, .slots = 4, .waiting = 0}));
  ask_in_turn(3, 8);
  EXPECT_TRUE(got_.at(3));
  got_.erase(1);
  ask_in_turn(4, 7);
  EXPECT_TRUE(got_.at(4));
}

// Whoever takes long with its copy, or has frozen, holds nobody up for longer than that.
TEST_F(UploadTurnsTest, ASlowCopyHasHadItsTurn) {
  ask_in_turn(1, 7);
  clock_.advance(kTurn - std::chrono::milliseconds(1));
  ask_in_turn(2, 7);
  EXPECT_FALSE(got_.at(2));
  clock_.advance(std::chrono::milliseconds(1));
  ask_in_turn(3, 7);
  EXPECT_TRUE(got_.at(3));
  ask_in_turn(4, 7);
  EXPECT_FALSE(got_.at(4));
  clock_.advance(kTurn);
  ask_in_turn(5, 7);
  EXPECT_TRUE(got_.at(5));
  clock_.advance(kTurn);
  ask_in_turn(6, 7);
  EXPECT_FALSE(got_.contains(6)) << "three at a time are the most: it waits";
  EXPECT_EQ(slots_.load(), (Load{.used = 3, .slots = 4, .waiting = 1}));
}

// With no slot free it waits like anybody, and is passed over while another copy has its turn.
TEST_F(UploadTurnsTest, WhoWaitsForASlotWaitsForItsTurnToo) {
  for (int i = 1; i <= 3; ++i) ask_in_turn(i, static_cast<std::uint64_t>(10 + i));
  ask_in_turn(4, 7);
  ask_in_turn(5, 7);
  ask_in_turn(6, 8);
  EXPECT_EQ(order_, (std::vector{1, 2, 3, 4}));
  got_.erase(1);
  turn();
  EXPECT_EQ(order_, (std::vector{1, 2, 3, 4, 6}));
  got_.erase(4);
  turn();
  EXPECT_EQ(order_, (std::vector{1, 2, 3, 4, 6, 5}));
  EXPECT_TRUE(got_.at(5) && got_.at(6));
}

class UploadSharesTest : public UploadSlotsTest {
 protected:
  /// Peer `peer` asks for something that nobody else asks for.
  bool gets(int who, PeerId peer) {
    ask(who, kNow, static_cast<std::uint64_t>(who), peer);
    return got_.at(who).has_value();
  }
  UploadSharesTest() { slots_ = with({.slots = 5, .same = 1, .waiting = 3}); }

  static constexpr std::chrono::milliseconds kNow{0};
};

// A peer that is alone has all slots; half of them would leave the uplink idle.
TEST_F(UploadSharesTest, WhoeverIsAloneHasAllSlots) {
  for (int i = 1; i <= 5; ++i) EXPECT_TRUE(gets(i, 7)) << i;
  EXPECT_FALSE(gets(6, 7));
  EXPECT_EQ(hits_.Value(), 1);
  EXPECT_EQ(share_hits_.Value(), 0);
}

// While another has a slot, a peer gets half of them, rounded up, and the rest stays free for others.
TEST_F(UploadSharesTest, WithOthersAboutAPeerGetsHalf) {
  EXPECT_TRUE(gets(1, 8));
  for (int i = 2; i <= 4; ++i) EXPECT_TRUE(gets(i, 7)) << i;
  EXPECT_FALSE(gets(5, 7));
  EXPECT_EQ(share_hits_.Value(), 1);
  clock_.advance(std::chrono::minutes(1));
  EXPECT_FALSE(gets(6, 7)) << "the other still has its slot";
  EXPECT_TRUE(gets(7, 9));
  EXPECT_FALSE(gets(8, 8));
  EXPECT_EQ(hits_.Value(), 1) << "all are taken";
}

// Whoever asked in vain a moment ago comes again: what comes free is its own then. When it does not come, the slots are
// not kept for it.
TEST_F(UploadSharesTest, WhoeverAskedInVainIsAbout) {
  for (int i = 1; i <= 5; ++i) EXPECT_TRUE(gets(i, 7));
  EXPECT_FALSE(gets(6, 8));
  got_.erase(1);
  EXPECT_FALSE(gets(7, 7));
  clock_.advance(UploadSlots::kAbout);
  EXPECT_TRUE(gets(8, 7));
}

// Having had a slot counts from when it was given back.
TEST_F(UploadSharesTest, WhoeverHadASlotIsAbout) {
  EXPECT_TRUE(gets(1, 8));
  for (int i = 2; i <= 4; ++i) EXPECT_TRUE(gets(i, 7));
  clock_.advance(std::chrono::minutes(1));
  got_.erase(1);
  EXPECT_FALSE(gets(5, 7));
  EXPECT_TRUE(gets(6, 8)) << "nobody has his share but the other";
  got_.erase(6);
  clock_.advance(UploadSlots::kAbout);
  EXPECT_TRUE(gets(7, 7));
}

// What comes free goes past those who have their share to the first of the others who wait; requests along a path
// count.
TEST_F(UploadSharesTest, AWaiterBeyondItsShareIsPassedOver) {
  for (int i = 1; i <= 5; ++i) ask(i, kNow, UploadSlots::kAnything, 7);
  ask(6, kLong, UploadSlots::kAnything, 7);
  ask(7, kLong, UploadSlots::kAnything, 8);
  got_.erase(1);
  turn();
  EXPECT_EQ(order_.back(), 7);
  EXPECT_FALSE(got_.contains(6));
  got_.erase(2);
  turn();
  EXPECT_FALSE(got_.contains(6)) << "three of five are its share";
  got_.erase(3);
  turn();
  EXPECT_TRUE(got_.at(6));
}

}  // namespace
}  // namespace oxbow::p2p

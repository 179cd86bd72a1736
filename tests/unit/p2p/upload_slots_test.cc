#include "p2p/upload_slots.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using Slot = UploadSlots::Slot;

class UploadSlotsTest : public ::testing::Test {
 protected:
  /// Asks for a slot; what comes of it stands in `got_` under `who`.
  void ask(int who, std::chrono::milliseconds wait, std::uint64_t what = UploadSlots::kAnything) {
    asio::co_spawn(loop_, slots_.acquire(wait, what), [this, who](const std::exception_ptr&, std::optional<Slot> slot) {
      order_.push_back(who);
      got_[who] = std::move(slot);
    });
    turn();
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
  UploadSlots slots_{{.slots = 2, .same = 1, .waiting = 2}, used_, hits_, same_hits_};
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

}  // namespace
}  // namespace oxbow::p2p

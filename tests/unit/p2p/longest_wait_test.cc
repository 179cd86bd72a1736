#include "p2p/longest_wait.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;

TEST(LongestWait, HalfIsForgottenEveryTwoSeconds) {
  LongestWait waits;
  waits.note(100ms, 1'000ms);
  EXPECT_EQ(waits.several(1'000ms), 400ms);
  waits.note(60ms, 2'000ms);
  EXPECT_EQ(waits.several(3'000ms), 200ms);
  waits.note(80ms, 3'000ms);
  EXPECT_EQ(waits.several(3'000ms), 320ms);
}

// Three within ten seconds of one another tell something, for ten seconds more.
TEST(LongestWait, FewOrOldOnesSayNothing) {
  LongestWait waits;
  const auto several = [&waits](Time now) { return waits.several(now, 500ms, 1'000ms); };
  waits.note(5ms, 1'000ms);
  waits.note(5ms, 2'000ms);
  EXPECT_EQ(several(2'000ms), 1'000ms);
  waits.note(5ms, 11'000ms);
  EXPECT_EQ(several(11'000ms), 500ms);
  EXPECT_EQ(several(20'999ms), 500ms);
  EXPECT_EQ(several(21'000ms), 1'000ms);
  waits.note(5ms, 22'000ms);
  EXPECT_EQ(several(22'000ms), 1'000ms);
}

TEST(LongestWait, ItsBoundsHold) {
  LongestWait waits;
  for (int i = 0; i < 3; ++i) waits.note(200ms, 1'000ms);
  EXPECT_EQ(waits.several(1'000ms, 500ms, 1'000ms), 800ms);
  EXPECT_EQ(waits.several(1'000ms, 900ms, 1'000ms), 900ms);
  EXPECT_EQ(waits.several(1'000ms, 500ms, 700ms), 700ms);
}

}  // namespace
}  // namespace oxbow::p2p

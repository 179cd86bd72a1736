// What a hop of a path decides.
#include "p2p/finger_passing.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using namespace std::chrono_literals;
using Kind = HopTurn::Kind;

TEST(FingerPassing, NothingUnderWayBeginsUnlessTheNodeItselfWasGivenIt) {
  EXPECT_EQ(turn_at_hop(std::nullopt, false, false).kind, Kind::kBegin);
  const auto own = turn_at_hop(std::nullopt, true, true);
  EXPECT_EQ(own.kind, Kind::kRefuse);
  EXPECT_EQ(own.why, Errc::kNotFound);
}

TEST(FingerPassing, WhatComesFromUpstreamIsWaitedForElsewhere) {
  StripeComing coming{.upstream = true, .since_last = 4s};
  EXPECT_EQ(turn_at_hop(coming, false, true).why, Errc::kBusy);
  EXPECT_EQ(turn_at_hop(coming, true, true).why, Errc::kTimeout);
  coming.since_last = 1s;
  EXPECT_EQ(turn_at_hop(coming, true, true).why, Errc::kBusy);
}

TEST(FingerPassing, WhatHasBegunIsGivenOnAndAStalledForwardIsGivenUp) {
  StripeComing coming{.forward = true, .heard = true, .begun = true, .since_last = 500ms};
  EXPECT_EQ(turn_at_hop(coming, false, false).kind, Kind::kGive);
  coming.since_last = 1s;
  const auto stalled = turn_at_hop(coming, false, false);
  EXPECT_EQ(stalled.kind, Kind::kRefuse);
  EXPECT_EQ(stalled.why, Errc::kTimeout);
  EXPECT_TRUE(stalled.give_up);
  coming.begun = false;  // before its first byte it has longer
  EXPECT_EQ(turn_at_hop(coming, false, false).kind, Kind::kGive);
  coming = {.heard = true, .begun = true, .since_last = 10s};  // this node's own: its strategy sees to it
  EXPECT_EQ(turn_at_hop(coming, false, false).kind, Kind::kGive);
}

TEST(FingerPassing, NobodyWaitsInACircle) {
  const StripeComing own;
  EXPECT_EQ(turn_at_hop(own, false, false).why, Errc::kBusy);
  EXPECT_EQ(turn_at_hop(own, false, false).kind, Kind::kRefuse);
  EXPECT_EQ(turn_at_hop(own, false, true).kind, Kind::kWait);
  EXPECT_EQ(turn_at_hop(StripeComing{.forward = true}, false, false).kind, Kind::kWait);
}

TEST(FingerPassing, BusyAndLeasesAreAnsweredTheDeadArePassedOver) {
  EXPECT_EQ(after_hop(Errc::kBusy, false), AfterHop::kAnswer);
  EXPECT_EQ(after_hop(Errc::kNotFound, true), AfterHop::kAnswer);
  EXPECT_EQ(after_hop(Errc::kNotFound, false), AfterHop::kEnd);
  EXPECT_EQ(after_hop(Errc::kTimeout, false), AfterHop::kNext);
  EXPECT_EQ(after_hop(Errc::kUnavailable, false), AfterHop::kNext);
}

// The client's second covers both hops behind it.
TEST(FingerPassing, EachHopHasLessTimeThanTheOneBefore) {
  const auto first = time_for_next(1'000ms, false);
  const auto second = time_for_next(first, true);
  EXPECT_EQ(first, 666ms);
  EXPECT_EQ(second, 582ms);
}

}  // namespace
}  // namespace oxbow::p2p

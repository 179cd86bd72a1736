#include "p2p/finger_owner.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using Kind = FingerOwner::Turn::Kind;
const Digest kBlob = Digest::sha256("blob");
constexpr Time kNow{1'000};

// The first who may fetch gets the stripe and what it wants after it, to the span's end; all others are sent there.
TEST(FingerOwnerTest, FirstCome) {
  FingerOwner owner;
  EXPECT_EQ(owner.ask(kNow, kBlob, 2, 7, 0).kind, Kind::kNobody);
  EXPECT_EQ(owner.ask(kNow, kBlob, 2, kNoPeer, 3).kind, Kind::kNobody);
  EXPECT_EQ(owner.ask(kNow, kBlob, 2, 7, 99).kind, Kind::kFetch);
  for (std::uint32_t stripe = 2; stripe < 8; ++stripe) {
    const auto turn = owner.ask(kNow, kBlob, stripe, 8, 1);
    EXPECT_EQ(turn.kind, Kind::kHolder);
    EXPECT_EQ(turn.holder, 7U);
  }
  EXPECT_EQ(owner.ask(kNow, kBlob, 8, 8, 1).kind, Kind::kFetch);  // another span
  EXPECT_EQ(owner.ask(kNow, kBlob, 0, 9, 8).kind, Kind::kFetch);  // up to what the other has
  EXPECT_EQ(owner.ask(kNow, kBlob, 1, 7, 1).holder, 9U);
  EXPECT_EQ(owner.ask(kNow, kBlob, 2, 7, 6).kind, Kind::kFetch);  // its own again
}

// A holder has time until its lease ends to have it; one that cannot be reached is forgotten at once. Who has it is
// remembered beyond the lease.
TEST(FingerOwnerTest, HoldersThatDoNotGive) {
  FingerOwner owner;
  owner.ask(kNow, kBlob, 0, 7, 2);
  EXPECT_FALSE(owner.not_given(kNow + Time(500), kBlob, 0, 7, Errc::kNotFound));
  owner.given(kNow + Time(1'500), kBlob, 0, 7);  // it works on it
  EXPECT_FALSE(owner.not_given(kNow + Time(3'400), kBlob, 0, 7, Errc::kNotFound));
  EXPECT_EQ(owner.ask(kNow + Time(500'000), kBlob, 0, 8, 1).holder, 7U);
  EXPECT_TRUE(owner.not_given(kNow + Time(500'000), kBlob, 0, 7, Errc::kNotFound));
  EXPECT_EQ(owner.ask(kNow + Time(500'000), kBlob, 0, 8, 1).kind, Kind::kFetch);
  owner.ask(kNow, kBlob, 8, 7, 3);
  EXPECT_TRUE(owner.not_given(kNow, kBlob, 8, 7, Errc::kUnavailable));
  EXPECT_EQ(owner.ask(kNow, kBlob, 9, 9, 1).kind, Kind::kFetch);        // it came in the same request
  EXPECT_TRUE(owner.not_given(kNow, kBlob, 9, 7, Errc::kUnavailable));  // not its any more
  EXPECT_EQ(owner.ask(kNow, kBlob, 9, 8, 1).holder, 9U);
}

// Whoever stood still is given nothing for a while.
TEST(FingerOwnerTest, BarredForStandingStill) {
  FingerOwner owner;
  owner.ask(kNow, kBlob, 0, 7, 1);
  EXPECT_TRUE(owner.not_given(kNow, kBlob, 0, 7, Errc::kTimeout));
  EXPECT_EQ(owner.ask(kNow, kBlob, 0, 7, 1).kind, Kind::kNobody);
  EXPECT_EQ(owner.ask(kNow, kBlob, 0, 8, 1).kind, Kind::kFetch);
  EXPECT_EQ(owner.ask(kNow + Time(15'000), kBlob, 1, 7, 1).kind, Kind::kFetch);
}

// On full links answers are late: until its lease ends that is not held against a holder.
TEST(FingerOwnerTest, LateIsNotSilent) {
  FingerOwner owner;
  owner.ask(kNow, kBlob, 0, 7, 2);
  EXPECT_FALSE(owner.not_given(kNow + Time(1'900), kBlob, 0, 7, Errc::kTimeout, true));
  EXPECT_EQ(owner.ask(kNow + Time(1'900), kBlob, 0, 8, 1).holder, 7U);
  EXPECT_FALSE(owner.not_given(kNow + Time(2'100), kBlob, 1, 7, Errc::kTimeout, true));  // it comes after the other
  EXPECT_TRUE(owner.not_given(kNow + Time(2'100), kBlob, 0, 7, Errc::kTimeout, true));
  EXPECT_EQ(owner.ask(kNow + Time(2'100), kBlob, 0, 8, 2).kind, Kind::kFetch);
  EXPECT_EQ(owner.ask(kNow + Time(2'100), kBlob, 1, 9, 1).holder, 8U);  // the rest of the request went with it
  EXPECT_EQ(owner.ask(kNow + Time(2'100), kBlob, 2, 7, 1).kind, Kind::kNobody);
}

// Memory is bounded: the longest known goes first, and that is counted.
TEST(FingerOwnerTest, Bounded) {
  MetricsRegistry metrics;
  auto& hits = limit_counter(metrics, "finger_leases");
  FingerOwnerOptions options;
  options.stripes = 100;
  FingerOwner owner(options, &hits);
  for (std::uint32_t stripe = 0; stripe < 1'000; ++stripe) owner.ask(kNow, kBlob, stripe, 7, 1);
  EXPECT_LE(owner.stripes(), 100U);
  EXPECT_GT(hits.Value(), 0);
  EXPECT_EQ(owner.ask(kNow, kBlob, 999, 8, 1).holder, 7U);
}

}  // namespace
}  // namespace oxbow::p2p

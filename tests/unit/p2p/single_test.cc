#include "p2p/single.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

constexpr std::uint64_t kMiB = 1024ULL * 1024;

std::vector<Fetch> fetches(const std::vector<Action>& actions) {
  std::vector<Fetch> out;
  for (const auto& action : actions) {
    if (const auto* fetch = std::get_if<Fetch>(&action)) out.push_back(*fetch);
  }
  return out;
}

class SingleTest : public ::testing::Test {
 protected:
  Geometry geometry_{64 * kMiB};  // 512 KiB stripes: 128 of them, 16 spans
  Single strategy_{geometry_};
  std::vector<Action> tell(const Event& event) { return strategy_.on_event(Time{0}, event); }
};

// A request covers what is wanted of one span and never crosses its end, so that spans can go to different sources.
TEST_F(SingleTest, AsksSpanBySpan) {
  tell(WindowChanged{{{3, 20}}});
  const auto got = fetches(tell(SlotsFree{kUpstream, 2}));
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].stripes, (StripeRange{3, 8}));
  EXPECT_EQ(got[1].stripes, (StripeRange{8, 16}));
}

// Late binding: without a free slot nothing is committed; a slot that comes later gets what is wanted then.
TEST_F(SingleTest, CommitsOnlyWhenASlotIsFree) {
  EXPECT_TRUE(tell(WindowChanged{{{0, 8}}}).empty());
  tell(WindowChanged{{{40, 41}}});
  const auto got = fetches(tell(SlotsFree{kUpstream, 1}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].stripes, (StripeRange{40, 41}));
}

// The order is the readers': closed ranges stand first in the window and are asked for first.
TEST_F(SingleTest, KeepsTheReadersOrder) {
  tell(WindowChanged{{{100, 101}, {0, 4}}});
  const auto got = fetches(tell(SlotsFree{kUpstream, 2}));
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].stripes, (StripeRange{100, 101}));
  EXPECT_EQ(got[1].stripes, (StripeRange{0, 4}));
}

// Every byte crosses the upstream link once: what is under way is not asked for again, even when windows overlap.
TEST_F(SingleTest, NeverAsksTwiceForWhatIsUnderWay) {
  tell(WindowChanged{{{0, 8}}});
  ASSERT_EQ(fetches(tell(SlotsFree{kUpstream, 4})).size(), 1U);
  tell(WindowChanged{{{0, 8}, {4, 10}}});
  const auto got = fetches(tell(SlotsFree{kUpstream, 4}));
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].stripes, (StripeRange{8, 10}));
}

// A fetch that failed frees its stripes; those that arrived have left the window.
TEST_F(SingleTest, ReassignsWhatDidNotArrive) {
  tell(WindowChanged{{{0, 8}}});
  const auto first = fetches(tell(SlotsFree{kUpstream, 1}));
  ASSERT_EQ(first.size(), 1U);
  tell(StripeArrived{first[0].id, 0});
  tell(WindowChanged{{{1, 8}}});
  tell(FetchEnded{first[0].id, fail(Errc::kUnavailable, "cut")});
  const auto second = fetches(tell(SlotsFree{kUpstream, 1}));
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(second[0].stripes, (StripeRange{1, 8}));
  EXPECT_NE(second[0].id, first[0].id);
}

// A reader that has all of its window and goes on slowly does not cost the connection of a fetch about to end.
TEST_F(SingleTest, KeepsFetchesWhileSomebodyReads) {
  tell(WindowChanged{{{0, 1}}});
  ASSERT_EQ(fetches(tell(SlotsFree{kUpstream, 1})).size(), 1U);
  EXPECT_TRUE(tell(WindowChanged{}).empty());
}

// When the last reader leaves, everything under way is cancelled.
TEST_F(SingleTest, CancelsWhenNobodyReads) {
  tell(WindowChanged{{{0, 16}}});
  ASSERT_EQ(fetches(tell(SlotsFree{kUpstream, 2})).size(), 2U);
  std::size_t cancelled = 0;
  for (const auto& action : tell(WindowChanged{{}, false}))
    cancelled += std::holds_alternative<CancelFetch>(action) ? 1 : 0;
  EXPECT_EQ(cancelled, 2U);
}

}  // namespace
}  // namespace oxbow::p2p

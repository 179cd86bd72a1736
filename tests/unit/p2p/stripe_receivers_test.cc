#include "p2p/stripe_receivers.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

using Ids = std::vector<PeerId>;

TEST(StripeReceivers, RemembersTheLatestOfAStripe) {
  StripeReceivers receivers;
  EXPECT_EQ(receivers.of(1), Ids());
  for (const PeerId peer : {3U, 4U, 3U}) receivers.add(1, peer);
  receivers.add(2, 9);
  EXPECT_EQ(receivers.of(1), (Ids{4, 3}));
  for (const PeerId peer : {5U, 6U, 7U}) receivers.add(1, peer);
  EXPECT_EQ(receivers.of(1), (Ids{7, 6, 5, 4}));
  EXPECT_EQ(receivers.of(2), Ids{9});
}

TEST(StripeReceivers, ForgetsTheOldestStripe) {
  StripeReceivers receivers;
  for (std::uint64_t what = 1; what <= StripeReceivers::kStripes + 1; ++what) receivers.add(what, 3);
  EXPECT_EQ(receivers.of(1), Ids());
  EXPECT_EQ(receivers.of(2), Ids{3});
  EXPECT_EQ(receivers.of(StripeReceivers::kStripes + 1), Ids{3});
}

}  // namespace
}  // namespace oxbow::p2p

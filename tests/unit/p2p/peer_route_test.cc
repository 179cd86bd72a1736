// Versions of the peer protocol: which one two nodes use, and which ones a node answers.
#include "p2p/peer_route.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

TEST(PeerVersions, TheNewestThatBothSpeak) {
  EXPECT_EQ(common_version({1, 1}, {1, 2}), 1U);
  EXPECT_EQ(common_version({1, 2}, {1, 1}), 1U);
  EXPECT_EQ(common_version({1, 2}, {1, 2}), 2U);
  EXPECT_EQ(common_version({1, 2}, {2, 3}), 2U);
  EXPECT_EQ(common_version({1, 1}, {2, 3}), std::nullopt);
  EXPECT_EQ(common_version({3, 4}, {1, 2}), std::nullopt);
}

// Other versions than those that are spoken are no routes; the hello has one path in all of them.
TEST(PeerVersions, OfAPath) {
  const auto answered = [](std::string_view path, Versions spoken) {
    const auto route = parse_peer_route(path, spoken);
    if (!route) EXPECT_EQ(route.error().code(), Errc::kNotFound) << path;
    return route.has_value();
  };
  EXPECT_TRUE(answered("/p2p/v1/announce", {1, 1}));
  EXPECT_FALSE(answered("/p2p/v2/announce", {1, 1}));
  EXPECT_TRUE(answered("/p2p/v1/announce", {1, 2}));
  EXPECT_TRUE(answered("/p2p/v2/announce", {1, 2}));
  EXPECT_FALSE(answered("/p2p/v1/announce", {2, 3}));
  EXPECT_TRUE(answered("/p2p/v3/announce", {2, 3}));
  EXPECT_FALSE(answered("/p2p/v4/announce", {2, 3}));
  EXPECT_TRUE(answered(kHelloPath, {2, 3}));
  for (const auto* path :
       {"/p2p/v/announce", "/p2p/v01/announce", "/p2p/v1announce", "/p2p/v0/announce", "/v1/announce"})
    EXPECT_FALSE(answered(path, {1, 2})) << path;
}

}  // namespace
}  // namespace oxbow::p2p

#include "p2p/span_rank.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace oxbow::p2p {
namespace {

std::vector<Member> members(std::uint32_t count) {
  std::vector<Member> out(count);
  for (std::uint32_t i = 0; i < count; ++i) out[i].name = fmt::format("node-{}", i);
  return out;
}

TEST(SpanRankTest, FirstByPlaceThenInAnOrderOfItsOwn) {
  EXPECT_EQ(span_rank(0, 1, 2), 0);
  EXPECT_EQ(span_rank(7, 1, 2), -7);
  const auto other = span_rank(std::nullopt, 1, 2);
  EXPECT_LE(other, -8);
  EXPECT_GE(other, -9);
  EXPECT_EQ(span_rank(8, 1, 2), other);
  EXPECT_NE(span_rank(std::nullopt, 1, 3), other);
  EXPECT_NE(span_rank(std::nullopt, 2, 2), other);
}

// A node that can keep a tenth keeps its best tenth: with that, every span is kept by some of 200 nodes.
TEST(SpanRankTest, NodesTogetherKeepEverySpan) {
  constexpr std::uint32_t kNodes = 200;
  constexpr std::uint32_t kSpans = 300;
  const auto all = members(kNodes);
  const Ring ring(all);
  const auto digest = Digest::sha256("blob");
  std::vector<int> copies(kSpans);
  for (std::uint32_t node = 0; node < kNodes; ++node) {
    std::vector<std::pair<double, std::uint32_t>> ranked;
    for (std::uint32_t span = 0; span < kSpans; ++span)
      ranked.emplace_back(span_rank(ring, node, key_of(digest, span), key_of(all[node].name)), span);
    std::ranges::sort(ranked, std::greater<>());
    for (std::uint32_t i = 0; i < kSpans / 10; ++i) ++copies[ranked[i].second];
  }
  EXPECT_GE(*std::ranges::min_element(copies), 8);
  EXPECT_LE(*std::ranges::max_element(copies), 40);
}

}  // namespace
}  // namespace oxbow::p2p

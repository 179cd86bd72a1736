// Spans of leases of every length that there may be.
#include "p2p/lease_spans.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

TEST(LeaseSpans, CoverEveryStripeOnceInOrder) {
  for (std::uint32_t stripes = 1; stripes <= LeaseSpans::kMostStripes; stripes *= 2) {
    const LeaseSpans spans(stripes);
    constexpr std::uint32_t kBlob = 131;
    std::uint32_t next = 0;
    for (std::uint32_t span = 0; span < spans.count(kBlob); ++span) {
      EXPECT_EQ(spans.begin(span), next);
      for (; next < spans.end(span, kBlob); ++next) EXPECT_EQ(spans.of(next), span);
    }
    EXPECT_EQ(next, kBlob);
  }
}

// A span is whole with its last stripe, and no other stripe counts; the last span may be short.
TEST(LeaseSpans, AreWholeInAMapWithAllTheirStripes) {
  for (std::uint32_t stripes = 1; stripes <= LeaseSpans::kMostStripes; stripes *= 2) {
    const LeaseSpans spans(stripes);
    constexpr std::uint32_t kBlob = 131;
    for (std::uint32_t span = 0; span < spans.count(kBlob); ++span) {
      HaveMap have(kBlob, true);
      EXPECT_TRUE(spans.all_in(have, span));
      HaveMap only(kBlob);
      for (auto stripe = spans.begin(span); stripe < spans.end(span, kBlob); ++stripe) {
        EXPECT_FALSE(spans.all_in(only, span));
        only.set(stripe);
      }
      EXPECT_TRUE(spans.all_in(only, span));
      have.clear(spans.begin(span));
      EXPECT_FALSE(spans.all_in(have, span));
    }
  }
}

TEST(LeaseSpans, AreThoseOfTheGeometryByDefault) {
  const LeaseSpans spans(kStripesPerSpan);
  const Geometry geometry(100ULL * 1024 * 1024);
  EXPECT_EQ(spans.count(geometry.stripes()), geometry.spans());
  EXPECT_EQ(spans.bytes(geometry), geometry.span_bytes());
  EXPECT_EQ(spans.of(77), Geometry::span_of(77));
  EXPECT_FALSE(LeaseSpans::can_be(0));
  EXPECT_FALSE(LeaseSpans::can_be(12));
  EXPECT_FALSE(LeaseSpans::can_be(128));
}

}  // namespace
}  // namespace oxbow::p2p

#include "core/geometry.h"

#include <gtest/gtest.h>

namespace oxbow {
namespace {

constexpr auto kMiB = 1ULL << 20;

// The stripe size is a pure function of the blob's, and peers of other versions must find the same numbers.
TEST(Geometry, StripeBytesAreFixedByTheProtocol) {
  EXPECT_EQ(Geometry(64 * kMiB).stripe_bytes(), 512ULL * 1024);
  EXPECT_EQ(Geometry(128 * kMiB).stripe_bytes(), 512ULL * 1024);
  EXPECT_EQ(Geometry(128 * kMiB + 1).stripe_bytes(), kMiB);
  EXPECT_EQ(Geometry(1024 * kMiB).stripe_bytes(), 4 * kMiB);
  EXPECT_EQ(Geometry(700'000 * kMiB).stripe_bytes(), 8 * kMiB);
}

// A blob below 1 MiB is one stripe; an empty one has none.
TEST(Geometry, SmallBlobs) {
  EXPECT_EQ(Geometry(0).stripes(), 0U);
  EXPECT_EQ(Geometry(0).spans(), 0U);
  EXPECT_EQ(Geometry(1).stripes(), 1U);
  EXPECT_EQ(Geometry(kMiB - 1).stripes(), 1U);
  EXPECT_EQ(Geometry(kMiB).stripes(), 2U);
}

// The stripes of any blob are disjoint, in order, and cover it exactly.
TEST(Geometry, StripesCoverTheBlob) {
  for (const std::uint64_t size :
       {1ULL, 511'999ULL, kMiB - 1, kMiB, kMiB + 1, 37 * kMiB + 13, 5'000'000'001ULL, 700'000'000'000ULL}) {
    const Geometry geometry(size);
    std::uint64_t at = 0;
    for (std::uint32_t i = 0; i < geometry.stripes(); ++i) {
      const auto stripe = geometry.stripe(i);
      ASSERT_EQ(stripe.begin, at) << size;
      ASSERT_FALSE(stripe.empty()) << size;
      ASSERT_EQ(geometry.stripe_at(stripe.begin), i);
      ASSERT_EQ(geometry.stripe_at(stripe.end - 1), i);
      at = stripe.end;
    }
    EXPECT_EQ(at, size);
    EXPECT_EQ(geometry.spans(), (geometry.stripes() + 7) / 8);
  }
}

TEST(ByteRange, IsHalfOpen) {
  const ByteRange range{5, 7};
  EXPECT_EQ(range.size(), 2U);
  EXPECT_TRUE(range.contains(5));
  EXPECT_FALSE(range.contains(7));
  EXPECT_TRUE((ByteRange{5, 5}).empty());
}

}  // namespace
}  // namespace oxbow

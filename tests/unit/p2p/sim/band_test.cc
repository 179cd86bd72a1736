#include "p2p/sim/band.h"

#include <gtest/gtest.h>

namespace oxbow::p2p::sim {
namespace {

TEST(SimBand, QuantilesLieBetweenRanks) {
  std::vector<double> values{4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 3.7);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  std::vector<double> none;
  EXPECT_EQ(quantile(none, 0.5), 0);
}

TEST(SimBand, MeanAndPercentiles) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const auto band = band_of(values);
  EXPECT_DOUBLE_EQ(band.mean, 50);
  EXPECT_DOUBLE_EQ(band.p5, 5);
  EXPECT_DOUBLE_EQ(band.p95, 95);
  EXPECT_EQ(values.front(), 100) << "the values of the caller are left as they are";
  EXPECT_EQ(to_string(band, 1), "50.0 [5.0, 95.0]");
  const double one = 1.65;
  EXPECT_EQ(to_string(band_of({&one, 1}), 3), "1.650 [1.650, 1.650]");
}

TEST(SimBand, CrossesZero) {
  EXPECT_TRUE((Band{1, -1, 2}).crosses_zero());
  EXPECT_TRUE((Band{0, 0, 0}).crosses_zero());
  EXPECT_FALSE((Band{1, 0.5, 2}).crosses_zero());
  EXPECT_FALSE((Band{-1, -2, -0.5}).crosses_zero());
}

}  // namespace
}  // namespace oxbow::p2p::sim

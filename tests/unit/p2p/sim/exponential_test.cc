#include "p2p/sim/exponential.h"

#include <gtest/gtest.h>

namespace oxbow::p2p::sim {
namespace {

// Mean 1, and one in e^2 above 2: and the same numbers everywhere, since only comparisons make them.
TEST(Exponential, MeanAndTail) {
  Random random(1);
  constexpr int kDraws = 200'000;
  double sum = 0;
  int above_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = exponential(random);
    ASSERT_GE(value, 0);
    sum += value;
    above_two += value > 2 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kDraws, 1, 0.01);
  EXPECT_NEAR(static_cast<double>(above_two) / kDraws, 0.1353, 0.003);
}

}  // namespace
}  // namespace oxbow::p2p::sim

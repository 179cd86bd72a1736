#include "p2p/have_seats.h"

#include <gtest/gtest.h>

namespace oxbow::p2p {
namespace {

// One that has its share gets no more, others do; and what ends makes room.
TEST(HaveSeats, OnePeerHasAShare) {
  HaveSeats seats({.all = 3, .each = 2});
  auto first = seats.take(1);
  auto second = seats.take(1);
  EXPECT_TRUE(first.counted);
  EXPECT_TRUE(second.counted);
  const auto third = seats.take(1);
  EXPECT_FALSE(third.counted);
  EXPECT_TRUE(third.share_used);
  EXPECT_TRUE(seats.take(2).counted);
  first.counted.reset();
  EXPECT_TRUE(seats.take(1).counted);
}

// There are so many in all.
TEST(HaveSeats, AllAreTaken) {
  HaveSeats seats({.all = 2, .each = 2});
  auto first = seats.take(1);
  const auto second = seats.take(2);
  const auto third = seats.take(3);
  EXPECT_FALSE(third.counted);
  EXPECT_FALSE(third.share_used);
  first.counted.reset();
  EXPECT_TRUE(seats.take(3).counted);
}

// A stream may outlive the service.
TEST(HaveSeats, OneOutlivesThem) {
  HaveSeats::Seat seat;
  {
    HaveSeats seats({.all = 1, .each = 1});
    seat = seats.take(1);
  }
  EXPECT_TRUE(seat.counted);
}

}  // namespace
}  // namespace oxbow::p2p

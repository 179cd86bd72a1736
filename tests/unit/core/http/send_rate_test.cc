#include "core/http/send_rate.h"

#include <gtest/gtest.h>

namespace oxbow::http {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kUsual = 256 * kKiB;
constexpr std::size_t kMost = 4096 * kKiB;

class SendRateTest : public ::testing::Test {
 protected:
  /// The empty buffer of a socket is filled at once; then it takes `part` bytes again and again.
  void send(std::size_t bytes_a_second, std::size_t part, std::size_t parts) {
    rate_.note(kUsual, now_);
    for (std::size_t i = 0; i < parts; ++i) {
      now_ += microseconds(1'000'000 * part / bytes_a_second);
      rate_.note(part, now_);
    }
  }
  std::size_t backlog() const { return rate_.backlog(kUsual, kMost); }

  SendRate rate_;
  SendRate::Time now_{seconds(1000)};
};

TEST_F(SendRateTest, TheUsualUntilARateIsKnown) {
  EXPECT_EQ(backlog(), kUsual);
  rate_.note(kUsual, now_);
  EXPECT_EQ(backlog(), kUsual);
}

TEST_F(SendRateTest, AFastLinkIsGivenWhatItTakesInAMoment) {
  send(800'000'000, 128 * kKiB, 300);
  EXPECT_EQ(backlog(), kMost);  // of 4 MB in 5 ms
  EXPECT_EQ(rate_.backlog(kUsual, kUsual), kUsual);
  send(8'000'000'000, 128 * kKiB, 3000);
  EXPECT_EQ(backlog(), kMost);
  send(250'000'000, 128 * kKiB, 3000);
  EXPECT_EQ(backlog(), 2048 * kKiB);
}

TEST_F(SendRateTest, ALinkOfAGigabitTheUsual) {
  send(50'000'000, 128 * kKiB, 100);
  EXPECT_EQ(backlog(), kUsual);
}

TEST_F(SendRateTest, ASlowOneLess) {
  send(500'000, 128 * kKiB, 8);
  EXPECT_EQ(backlog(), 64 * kKiB);  // of 50 KB in 100 ms
  send(80'000, 32 * kKiB, 4);
  EXPECT_EQ(backlog(), SendRate::kLeastBytes);
}

// A response now and then is no slow link, and the last rate is the best guess for the next.
TEST_F(SendRateTest, SilenceSaysNothing) {
  send(800'000'000, 128 * kKiB, 300);
  for (int i = 0; i < 5; ++i) {
    rate_.pause();
    now_ += seconds(1);
    rate_.note(16 * kKiB, now_);
  }
  EXPECT_EQ(backlog(), kMost);
}

}  // namespace
}  // namespace oxbow::http

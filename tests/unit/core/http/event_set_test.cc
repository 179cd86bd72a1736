#include "core/http/event_set.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace oxbow::http {
namespace {

class Reads final : public EventTarget {
 public:
  explicit Reads(int fd) : fd_(fd) {}
  void on_event(std::uint32_t) override {
    ++batches;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;) {
      bytes += static_cast<std::size_t>(got);
      set->note_bytes(static_cast<std::size_t>(got));
    }
  }
  EventSet* set = nullptr;
  int batches = 0;
  std::size_t bytes = 0;

 private:
  int fd_;
};

class EventSetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds_), 0);
    reads_ = std::make_unique<Reads>(fds_[0]);
  }
  void TearDown() override {
    if (set_) set_->stop();
    set_.reset();
    loop_.poll();
    for (const int fd : fds_) ::close(fd);
  }
  void watch(Moderation moderation) {
    auto made = EventSet::create(loop_, [] {}, [] {}, moderation);
    ASSERT_TRUE(made) << made.error().what();
    set_ = *made;
    reads_->set = set_.get();
    ASSERT_TRUE(set_->watch(fds_[0], *reads_, true));
    set_->start();
    loop_.poll();
  }
  /// Byte by byte, each with a look at the loop.
  void trickle(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(::send(fds_[1], "x", 1, 0), 1);
      loop_.poll();
    }
  }
  void run_until(std::size_t bytes) {
    while (reads_->bytes < bytes) ASSERT_GT(loop_.run_one_for(std::chrono::seconds(10)), 0U);
  }

  Loop loop_;
  int fds_[2]{};
  std::unique_ptr<Reads> reads_;
  std::shared_ptr<EventSet> set_;
};

// Without moderation each byte is told by itself.
TEST_F(EventSetTest, TellsOfEachByteAsItComes) {
  watch({});
  trickle(50);
  EXPECT_EQ(reads_->bytes, 50U);
  EXPECT_GE(reads_->batches, 50);
}

// What trickles is taken in portions, and all of it comes.
TEST_F(EventSetTest, WhatTricklesIsTakenInPortions) {
  watch({.below_bytes = 1024});
  reads_->batches = 0;
  trickle(150);
  run_until(150);
  EXPECT_LT(reads_->batches, 120);
}

// Large batches never rest.
TEST_F(EventSetTest, AFastStreamIsNotHeldUp) {
  watch({.below_bytes = 4});
  const std::string some(100, 'x');
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(::send(fds_[1], some.data(), some.size(), 0), 100);
    loop_.poll();
    ASSERT_EQ(reads_->bytes, 100U * static_cast<std::size_t>(i + 1));
  }
}

// Paused while it rests it stays paused; started again it goes on; stopped while it rests it tells nothing more.
TEST_F(EventSetTest, PauseAndStopWhileItRests) {
  watch({.below_bytes = 1024});
  trickle(150);
  set_->pause();
  const auto before = reads_->bytes;
  ASSERT_EQ(::send(fds_[1], "x", 1, 0), 1);
  loop_.run();
  EXPECT_EQ(reads_->bytes, before);
  loop_.restart();
  set_->start();
  run_until(151);
  trickle(100);
  set_->stop();
  const auto at_stop = reads_->bytes;
  loop_.run();
  EXPECT_EQ(reads_->bytes, at_stop);
}

}  // namespace
}  // namespace oxbow::http

#include "core/loop_ticks.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/waker.h"

namespace oxbow {
namespace {

class Counted final : public LoopTicks::Work {
 public:
  explicit Counted(int not_due = 0, std::function<void()> then = {}) : not_due_(not_due), then_(std::move(then)) {}
  bool on_tick(LoopTicks::Time) override {
    ++asked;
    if (not_due_ > 0) {
      --not_due_;
      return false;
    }
    ++ran;
    if (then_) then_();
    return true;
  }
  int asked = 0;
  int ran = 0;

 private:
  int not_due_;
  std::function<void()> then_;
};

// What comes while the loop ticks runs in one wake-up, however much it is; and a loop with nothing left to run ends.
TEST(LoopTicksTest, WhatComesTogetherRunsTogether) {
  Loop loop;
  auto& ticks = LoopTicks::of(loop);
  std::vector<std::shared_ptr<Counted>> works;
  for (int i = 0; i < 100; ++i) ticks.add(works.emplace_back(std::make_shared<Counted>()));
  EXPECT_EQ(loop.run_one(), 1U);
  for (const auto& work : works) EXPECT_EQ(work->ran, 1);
  loop.run();
}

// Work that is not due is asked again at the next ticks, and what it adds itself is not lost.
TEST(LoopTicksTest, WorkThatIsNotDueIsAskedAgain) {
  Loop loop;
  auto& ticks = LoopTicks::of(loop);
  const auto second = std::make_shared<Counted>();
  const auto first = std::make_shared<Counted>(3, [&] { ticks.add(second); });
  ticks.add(first);
  loop.run();
  EXPECT_EQ(first->asked, 4);
  EXPECT_EQ(first->ran, 1);
  EXPECT_EQ(second->ran, 1);
}

// Nothing is lost between a tick that finds nothing and somebody who adds at that moment.
TEST(LoopTicksTest, AddedFromOtherThreadsEverythingRuns) {
  Loops loops(1);
  loops.start();
  auto& ticks = LoopTicks::of(loops.at(0));
  constexpr int kEach = 2'000;
  std::atomic<int> ran = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < kEach; ++k) {
        ticks.add(std::make_shared<Counted>(0, [&] { ++ran; }));
        if (k % 200 == 0) std::this_thread::sleep_for(2 * LoopTicks::kEvery);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 12'000 && ran < 3 * kEach; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  loops.stop();
  loops.join();
  EXPECT_EQ(ran, 3 * kEach);
}

// A loop may end while something waits for its tick.
TEST(LoopTicksTest, ALoopEndsWithWorkWaiting) {
  const auto work = std::make_shared<Counted>(1'000'000);
  {
    Loop loop;
    LoopTicks::of(loop).add(work);
    loop.run_one();
    loop.run_one();
  }
  EXPECT_EQ(work->ran, 0);
  EXPECT_EQ(work.use_count(), 1);
}

// Told a hundred times it runs once; told again later it runs again; cleared it does not.
TEST(WakerTest, RunsOnceForAllThatCameMeanwhile) {
  Loop loop;
  const auto waker = std::make_shared<Waker>(loop, std::chrono::milliseconds(8));
  int ran = 0;
  waker->set([&] { ++ran; });
  for (int i = 0; i < 100; ++i) waker->wake();
  loop.run();
  EXPECT_EQ(ran, 1);
  waker->wake();
  loop.restart();
  loop.run();
  EXPECT_EQ(ran, 2);
  waker->wake();
  waker->clear();
  loop.restart();
  loop.run();
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace oxbow

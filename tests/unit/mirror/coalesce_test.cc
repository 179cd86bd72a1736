// One run for many askers, and waking across loops.
#include "mirror/coalesce.h"

#include "core/waker.h"
#include "scratch.h"

namespace oxbow::mirror {
namespace {

/// Work that is under way until the test lets it end.
class Gate {
 public:
  Task<int> work(int value) {
    ++runs;
    co_await await_callback<bool>([this](auto done) {
      const std::lock_guard lock(mutex_);
      if (open_) return done(true);
      waiting_.push_back(std::move(done));
    });
    co_return value;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    for (auto& done : std::exchange(waiting_, {})) done(true);
  }
  std::atomic<int> runs = 0;

 private:
  std::mutex mutex_;
  bool open_ = false;
  std::vector<std::move_only_function<void(bool)>> waiting_;
};

/// Everything that was posted so far on both loops has run.
void settle(Scratch& scratch) {
  for (int round = 0; round < 4; ++round) {
    scratch.on_loop([] {}, 0);
    scratch.on_loop([] {}, 1);
  }
}

class CoalesceTest : public ::testing::Test {
 protected:
  Scratch scratch_;
  Coalesce<int> coalesce_;
};

// While the leader's work runs, all who ask for the same key join it, on whichever loop they are, and share its result.
TEST_F(CoalesceTest, JoinersShareTheLeadersRun) {
  Gate gate;
  std::vector<std::future<int>> askers;
  for (std::size_t i = 0; i < 50; ++i) {
    askers.push_back(
        scratch_.start(coalesce_.run("key", [&gate, i] { return gate.work(static_cast<int>(i)); }), i % 2));
  }
  settle(scratch_);
  EXPECT_EQ(gate.runs, 1);
  gate.open();
  const int first = askers[0].get();
  for (std::size_t i = 1; i < askers.size(); ++i) EXPECT_EQ(askers[i].get(), first);
  EXPECT_EQ(gate.runs, 1);
}

// Other keys do not wait for it.
TEST_F(CoalesceTest, KeysAreIndependent) {
  Gate slow;
  Gate quick;
  quick.open();
  auto waiting = scratch_.start(coalesce_.run("slow", [&] { return slow.work(1); }));
  EXPECT_EQ(scratch_.run(coalesce_.run("quick", [&] { return quick.work(2); })), 2);
  slow.open();
  EXPECT_EQ(waiting.get(), 1);
}

// After the end of a run the next asker starts a new one: nothing is remembered.
TEST_F(CoalesceTest, RunsAgainAfterTheEnd) {
  Gate gate;
  gate.open();
  EXPECT_EQ(scratch_.run(coalesce_.run("key", [&] { return gate.work(1); })), 1);
  EXPECT_EQ(scratch_.run(coalesce_.run("key", [&] { return gate.work(2); }), 1), 2);
  EXPECT_EQ(gate.runs, 2);
}

// Asking and ending race on two loops; each asker gets a result and none waits for ever.
TEST_F(CoalesceTest, EndingAndJoiningRace) {
  Gate gate;
  gate.open();
  std::vector<std::future<int>> askers;
  for (std::size_t i = 0; i < 2'000; ++i) {
    askers.push_back(scratch_.start(coalesce_.run("key", [&] { return gate.work(7); }), i % 2));
  }
  for (auto& asker : askers) {
    ASSERT_EQ(asker.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    EXPECT_EQ(asker.get(), 7);
  }
}

// Each asker goes on on its own loop.
TEST_F(CoalesceTest, ResultsComeOnTheAskersLoop) {
  Gate gate;
  const auto ask = [](Coalesce<int>& coalesce, Gate& work) -> Task<Loop*> {
    co_await coalesce.run("key", [&work] { return work.work(1); });
    co_return co_await this_loop();
  };
  auto first = scratch_.start(ask(coalesce_, gate), 0);
  auto second = scratch_.start(ask(coalesce_, gate), 1);
  settle(scratch_);
  gate.open();
  EXPECT_EQ(first.get(), &scratch_.loop(0));
  EXPECT_EQ(second.get(), &scratch_.loop(1));
}

// Who does not wait to the end leaves the work running: others join it, and its result is there for who kept the run.
TEST_F(CoalesceTest, AskersMayGiveUpWaiting) {
  Gate gate;
  const auto start = [&](std::size_t loop) {
    return scratch_.run(coalesce_.start("key", [&gate] { return gate.work(5); }), loop);
  };
  const auto run = start(0);
  const auto past = std::chrono::steady_clock::now();
  EXPECT_EQ(scratch_.run(run->wait(past), 1), std::nullopt);
  EXPECT_EQ(run->result(), std::nullopt);
  EXPECT_EQ(start(1), run);
  auto waiting = scratch_.start(run->wait(), 1);
  settle(scratch_);
  gate.open();
  EXPECT_EQ(waiting.get(), 5);
  EXPECT_EQ(run->result(), 5);
  EXPECT_EQ(scratch_.run(run->wait(past)), 5);
  EXPECT_EQ(gate.runs, 1);
}

// Many wakes before the loop comes to it are one wake-up; a wake during or after the action is another one.
TEST(Waker, WakesAreMerged) {
  Scratch scratch;
  auto waker = std::make_shared<Waker>(scratch.loop());
  std::atomic<int> runs = 0;
  scratch.on_loop([&] {
    waker->set([&] {
      if (++runs == 1) waker->wake();
    });
    for (int i = 0; i < 100; ++i) waker->wake();
  });
  settle(scratch);
  EXPECT_EQ(runs, 2);
}

// After `clear` a wake-up that is already on its way does nothing, and later ones neither.
TEST(Waker, ClearEndsIt) {
  Scratch scratch;
  auto waker = std::make_shared<Waker>(scratch.loop());
  bool ran = false;
  scratch.on_loop([&] {
    waker->set([&] { ran = true; });
    waker->wake();
    waker->clear();
  });
  settle(scratch);
  waker->wake();
  settle(scratch);
  EXPECT_FALSE(ran);
}

// The action may end its own waker, and a wake-up on its way keeps what it needs.
TEST(Waker, ActionMayClearAndRelease) {
  Scratch scratch;
  auto waker = std::make_shared<Waker>(scratch.loop());
  std::promise<void> ran;
  scratch.on_loop([&] {
    waker->set([&, kept = std::make_shared<int>(3)] {
      waker->clear();
      EXPECT_EQ(*kept, 3);
      ran.set_value();
    });
    waker->wake();
  });
  ran.get_future().wait();
  scratch.on_loop([&] {
    waker->wake();
    waker.reset();
  });
  settle(scratch);
}

}  // namespace
}  // namespace oxbow::mirror

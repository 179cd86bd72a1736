#include "core/task.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/use_future.hpp>
#include <future>
#include <latch>
#include <set>

#include "core/clock.h"

namespace oxbow {
namespace {

// Each loop is one thread: what is posted to it never runs beside itself, and loops are different threads.
TEST(LoopsTest, EachLoopIsOneThread) {
  Loops loops(3);
  loops.start();
  std::mutex mutex;
  std::map<std::size_t, std::set<std::thread::id>> threads;
  std::latch done(300);
  for (int i = 0; i < 300; ++i) {
    const std::size_t index = static_cast<std::size_t>(i) % loops.size();
    asio::post(loops.at(index), [&, index] {
      {
        const std::lock_guard lock(mutex);
        threads[index].insert(std::this_thread::get_id());
      }
      done.count_down();
    });
  }
  done.wait();
  loops.stop();
  loops.join();
  std::set<std::thread::id> all;
  for (const auto& [index, ids] : threads) {
    EXPECT_EQ(ids.size(), 1U);
    all.insert(ids.begin(), ids.end());
  }
  EXPECT_EQ(all.size(), 3U);
}

// Loops that were never started, or stopped twice, come down without hanging.
TEST(LoopsTest, StopsInAnyState) {
  {
    const Loops never_started(2);
  }
  Loops loops(1);
  loops.start();
  loops.stop();
  loops.stop();
  loops.join();
  loops.join();
}

struct Seen {
  std::thread::id before, job, after;
  int value = 0;
};

Task<Seen> run_job(WorkPool& pool) {
  Seen seen;
  seen.before = std::this_thread::get_id();
  seen.value = co_await pool.run([&seen] {
    seen.job = std::this_thread::get_id();
    return 42;
  });
  seen.after = std::this_thread::get_id();
  co_return seen;
}

// A blocking job runs on the pool, and the coroutine goes on where it was: on its own loop.
TEST(WorkPoolTest, RunsElsewhereAndComesBack) {
  Loops loops(1);
  loops.start();
  WorkPool pool(2);
  const auto seen = asio::co_spawn(loops.at(0), run_job(pool), asio::use_future).get();
  EXPECT_EQ(seen.value, 42);
  EXPECT_EQ(seen.before, seen.after);
  EXPECT_NE(seen.job, seen.before);
}

// After the pool has ended nothing holds what a job would have held.
TEST(WorkPoolTest, DropsJobsAfterItsEnd) {
  WorkPool pool(1);
  pool.join();
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  pool.submit([held = std::move(held)] {});
  EXPECT_TRUE(watched.expired());
}

Task<std::string> run_throwing(WorkPool& pool) {
  try {
    co_await pool.run([]() -> int { throw std::runtime_error("boom"); });
  } catch (const std::runtime_error& e) {
    co_return e.what();
  }
  co_return "nothing thrown";
}

// What a handler leaves for a loop that is stopped meanwhile is done before finish returns: it may end something whose
// parts are gone when the loops are destroyed.
TEST(LoopsTest, FinishesWhatIsReadyAfterTheTimeout) {
  bool done = false;
  Loops loops(2);
  asio::steady_timer far(loops.at(1), std::chrono::hours(1));
  far.async_wait([](const boost::system::error_code&) {});
  loops.start();
  std::promise<void> began;
  asio::post(loops.at(0), [&] {
    began.set_value();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    asio::post(loops.at(0), [&] { asio::post(loops.at(1), [&] { done = true; }); });
  });
  began.get_future().wait();
  loops.finish(std::chrono::milliseconds(0));
  EXPECT_TRUE(done);
}

// An exception of a job arrives at the one who awaits it, not in the pool's thread.
TEST(WorkPoolTest, ExceptionsArriveAtTheAwaiter) {
  Loops loops(1);
  loops.start();
  WorkPool pool(1);
  EXPECT_EQ(asio::co_spawn(loops.at(0), run_throwing(pool), asio::use_future).get(), "boom");
}

// One thread runs jobs in the order of submission, and join waits for all of them.
TEST(WorkPoolTest, KeepsOrderAndJoins) {
  WorkPool pool(1);
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) pool.submit([&order, i] { order.push_back(i); });
  pool.join();
  ASSERT_EQ(order.size(), 100U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

// A move-only job, which std::function could not hold.
TEST(WorkPoolTest, TakesMoveOnlyJobs) {
  WorkPool pool(1);
  std::promise<int> promise;
  auto future = promise.get_future();
  pool.submit(
      [owned = std::make_unique<int>(7), promise = std::move(promise)]() mutable { promise.set_value(*owned); });
  EXPECT_EQ(future.get(), 7);
}

// Sleeping lets other work of the same loop run.
TEST(SleepTest, DoesNotBlockTheLoop) {
  Loop loop;
  std::vector<std::string> order;
  asio::co_spawn(
      loop,
      [](std::vector<std::string>& out) -> Task<> {
        out.emplace_back("before");
        co_await sleep_for(std::chrono::milliseconds(5));
        out.emplace_back("after");
      }(order),
      asio::detached);
  asio::post(loop, [&] { order.emplace_back("between"); });
  loop.run();
  EXPECT_EQ(order, (std::vector<std::string>{"before", "between", "after"}));
}

// A test's clock moves only when told to, both of its hands alike.
TEST(ManualClockTest, MovesWhenTold) {
  ManualClock clock;
  const auto steady = clock.steady();
  const auto wall = clock.wall();
  EXPECT_EQ(clock.steady(), steady);
  clock.advance(std::chrono::seconds(5));
  EXPECT_EQ(clock.steady() - steady, std::chrono::seconds(5));
  EXPECT_EQ(clock.wall() - wall, std::chrono::seconds(5));
}

}  // namespace
}  // namespace oxbow

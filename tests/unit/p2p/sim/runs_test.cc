#include "p2p/sim/runs.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace oxbow::p2p::sim {
namespace {

// Each index once, whatever the number of threads, and all have ended when the call returns.
TEST(SimRuns, EveryRunOnce) {
  for (const unsigned threads : {0U, 1U, 2U, 7U}) {
    for (const std::size_t count : {0U, 1U, 2U, 100U}) {
      std::vector<std::atomic<int>> runs(count);
      for_each_run(count, threads, [&](std::size_t i) { ++runs[i]; });
      for (const auto& times : runs) EXPECT_EQ(times, 1);
    }
  }
}

TEST(SimRuns, OneThreadIsTheCaller) {
  std::set<std::thread::id> ids;
  for_each_run(5, 1, [&](std::size_t) { ids.insert(std::this_thread::get_id()); });
  EXPECT_EQ(ids, std::set{std::this_thread::get_id()});
}

TEST(SimProgress, EachPhaseStartsAtZero) {
  Progress progress;
  EXPECT_EQ(progress.phase(), "");
  progress.begin("one", 10);
  progress.add();
  progress.add(4);
  EXPECT_EQ(progress.done(), 5U);
  progress.begin("two", 3);
  EXPECT_EQ(progress.phase(), "two");
  EXPECT_EQ(progress.done(), 0U);
  EXPECT_EQ(progress.total(), 3U);
  EXPECT_FALSE(progress.cancelled());
  progress.cancel();
  EXPECT_TRUE(progress.cancelled());
}

}  // namespace
}  // namespace oxbow::p2p::sim

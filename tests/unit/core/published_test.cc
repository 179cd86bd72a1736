#include "core/published.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace oxbow {
namespace {

std::shared_ptr<const int> number(int value) { return std::make_shared<const int>(value); }

TEST(Published, NothingAtFirst) {
  const Published<int> published;
  EXPECT_EQ(published.read(), nullptr);
}

TEST(Published, TheNewestIsRead) {
  Published<int> published;
  for (int i = 0; i < 3; ++i) {
    published.publish(number(i));
    EXPECT_EQ(*published.read(), i);
    EXPECT_EQ(*published.read(), i);
  }
}

// A thread that has read one of them does not take its value for that of another, also not of one at the same place.
TEST(Published, OneIsNotTakenForAnother) {
  Published<int> first;
  Published<int> second;
  first.publish(number(1));
  second.publish(number(2));
  EXPECT_EQ(*first.read(), 1);
  EXPECT_EQ(*second.read(), 2);
  EXPECT_EQ(*first.read(), 1);
  for (int i = 0; i < 3; ++i) {
    Published<int> again;
    EXPECT_EQ(again.read(), nullptr);
    again.publish(number(i));
    EXPECT_EQ(*again.read(), i);
  }
}

// What nobody reads any more goes with the thread's next read.
TEST(Published, OldValuesGo) {
  Published<int> published;
  auto old = number(1);
  const std::weak_ptr<const int> watched = old;
  published.publish(std::move(old));
  EXPECT_EQ(*published.read(), 1);
  published.publish(number(2));
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(*published.read(), 2);
  EXPECT_TRUE(watched.expired());
}

// Many read while others publish: nobody goes back, and all end with the last one.
TEST(Published, ReadersGoForward) {
  constexpr int kLast = 20'000;
  Published<int> published;
  published.publish(number(0));
  std::vector<std::jthread> readers;
  std::atomic<int> backward = 0;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      for (int last = 0; last < kLast;) {
        const int now = *published.read();
        if (now < last) ++backward;
        last = now;
      }
    });
  }
  for (int i = 1; i <= kLast; ++i) published.publish(number(i));
  readers.clear();
  EXPECT_EQ(backward, 0);
}

}  // namespace
}  // namespace oxbow

// What every compare-and-swap key/value has to do, whatever keeps it.
#pragma once

#include "p2p/cluster_values.h"
#include "tests/unit/p2p/membership_support.h"

namespace oxbow::p2p::test {

/// The values that a watch has told, "-" for none.
class Told {
 public:
  std::function<void(std::optional<ClusterValue>)> callback() {
    return [this](std::optional<ClusterValue> value) {
      const std::lock_guard lock(mutex_);
      all_.push_back(value ? value->value : "-");
      changed_.notify_all();
    };
  }
  bool reach(const std::vector<std::string>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return all_ == wanted; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> all_;
};

/// Of two that swap `k` from the same revision one wins, and the other is told to read again. Leaves "2" under the
/// revision that it gives.
inline void swap_twice(ClusterValues& values, ValueRevision& last) {
  EXPECT_EQ(*values.get("k"), std::nullopt);
  const auto first = values.compare_and_swap("k", std::nullopt, "1");
  ASSERT_TRUE(first) << first.error().what();
  EXPECT_EQ(values.compare_and_swap("k", std::nullopt, "x").error().code(), Errc::kBusy);
  const auto second = values.compare_and_swap("k", *first, "2");
  ASSERT_TRUE(second);
  EXPECT_NE(*first, *second);
  EXPECT_EQ(values.compare_and_swap("k", *first, "x").error().code(), Errc::kBusy);
  EXPECT_EQ(values.compare_and_swap("k", "of another store", "x").error().code(), Errc::kBusy);
  const auto now = values.get("k");
  ASSERT_TRUE(now && *now);
  EXPECT_EQ((*now)->value, "2");
  EXPECT_EQ((*now)->revision, *second);
  last = *second;
}

}  // namespace oxbow::p2p::test

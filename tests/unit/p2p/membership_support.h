// What the tests of membership share: a place that collects views and can be waited on, and a directory that goes away.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "p2p/membership.h"

namespace oxbow::p2p::test {

/// Long enough for a loaded machine with sanitizers; only a failing test waits so long.
inline constexpr std::chrono::seconds kPatience{30};

/// For what has no call-back to wait on.
template <typename Condition>
bool eventually(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

/// One word for each member: its name, or its first address.
inline std::vector<std::string> words(const std::vector<Member>& members) {
  std::vector<std::string> out;
  for (const auto& member : members) out.push_back(member.name.empty() ? member.addresses.front() : member.name);
  return out;
}

class Views {
 public:
  Membership::OnView callback() {
    return [this](MembershipView view) {
      const std::lock_guard lock(mutex_);
      views_.push_back(std::move(view));
      changed_.notify_all();
    };
  }
  /// Waits for a last view of exactly these.
  bool reach(const std::vector<std::string>& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience,
                             [&] { return !views_.empty() && words(views_.back().members) == wanted; });
  }
  /// Whether every view but those before its first one had this member.
  bool kept(const std::string& name) {
    const std::lock_guard lock(mutex_);
    bool seen = false;
    for (const auto& view : views_) {
      const bool there = std::ranges::count(words(view.members), name) > 0;
      if (seen && !there) return false;
      seen = seen || there;
    }
    return seen;
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return views_.size();
  }
  MembershipView last() {
    const std::lock_guard lock(mutex_);
    return views_.empty() ? MembershipView() : views_.back();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<MembershipView> views_;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "oxbow-membership-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline double metric(MetricsRegistry& metrics, const std::string& name, const std::string& provider) {
  for (const auto& family : metrics.Collect()) {
    if (family.name != name) continue;
    for (const auto& one : family.metric) {
      if (one.label.empty() || one.label.front().value != provider) continue;
      return one.counter.value + one.gauge.value;
    }
  }
  return 0;
}

}  // namespace oxbow::p2p::test

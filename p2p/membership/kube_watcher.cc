#include "p2p/membership/kube_watcher.h"

#include "core/encoding.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr milliseconds kListTimeout{30'000};  // some MB where the cluster is large
constexpr milliseconds kFirstPause{100};
constexpr milliseconds kLastPause{30'000};
// The API server ends a watch itself, at a time of its own for each node; a connection that has died in silence is
// found out soon after.
constexpr std::int64_t kShortestWatchSeconds = 240;
constexpr std::int64_t kLongestWatchSeconds = 480;
constexpr seconds kOverdue{20};
// One that ends at once is no watch, and must not be asked for at once again.
constexpr seconds kWatchedWell{1};
constexpr milliseconds kPublishEvery{100};
constexpr milliseconds kQuiet{60'000};

}  // namespace

KubeWatcher::KubeWatcher(const KubernetesOptions& options, std::string path, std::string selector, Events events)
    : path_(std::move(path)),
      selector_(std::move(selector)),
      events_(std::move(events)),
      client_(options, &thread_),
      backoff_(kFirstPause, kLastPause) {}

void KubeWatcher::refresh() {
  refresh_ = true;
  thread_.wake();
}

void KubeWatcher::run() {
  do {
    if (!listed_) {
      auto loaded = load();
      if (thread_.stopping()) return;
      if (!loaded) {
        // A version that is not to be had from a cache is to be had from the store.
        if (loaded.error().code() == Errc::kOutOfRange) from_ = From::kStore;
        events_.on_failure(loaded.error());
        continue;
      }
    }
    const auto begin = steady_clock::now();
    auto followed = follow();
    if (thread_.stopping()) return;
    if (steady_clock::now() - begin >= kWatchedWell) backoff_.reset();
    if (followed) continue;
    // Too old: a reason to list again, and no trouble.
    if (followed.error().code() == Errc::kOutOfRange) {
      listed_ = false;
    } else {
      events_.on_failure(followed.error());
    }
  } while (thread_.wait(backoff_.next()));
}

Result<> KubeWatcher::load() {
  // "0" is whatever the API server has in its cache: thousands of nodes that start do not reach its store. Later ones
  // must not be older than what is known.
  std::string query = "?" + selector_;
  if (from_ == From::kCache) query += "&resourceVersion=0";
  if (from_ == From::kLast)
    query += "&resourceVersion=" + percent_encode(version_) + "&resourceVersionMatch=NotOlderThan";
  const auto answer = client_.call({.path = path_ + query, .timeout = kListTimeout});
  if (!answer) return std::unexpected(answer.error());
  auto list = kube::parse_list(*answer);
  if (!list) return std::unexpected(std::move(list.error()));
  if (list->objects.size() > kMaxMembers) return fail(Errc::kLimit, fmt::format("more than {} objects", kMaxMembers));
  state_.clear();
  for (auto& object : list->objects) {
    auto name = object.name;
    state_.insert_or_assign(std::move(name), std::move(object));
  }
  version_ = std::move(list->version);
  listed_ = true;
  from_ = From::kLast;
  changed_ = true;
  next_publish_ = {};
  publish_when_due();
  return {};
}

Result<> KubeWatcher::follow() {
  const seconds length(
      std::uniform_int_distribution<std::int64_t>(kShortestWatchSeconds, kLongestWatchSeconds)(random_));
  const auto path = fmt::format("{}?{}&watch=1&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}", path_,
                                selector_, percent_encode(version_), length.count());
  const StreamSink sink{.on_line = [this](std::string_view line) { return take(line); },
                        .on_turn = [this] { return publish_when_due(); },
                        .on_open = [this] { events_.on_well(); }};
  return client_.stream(path, length + kOverdue, sink);
}

Result<> KubeWatcher::take(std::string_view line) {
  auto event = kube::parse_event(line);
  if (!event) return std::unexpected(std::move(event.error()));
  version_ = event->object.version;
  if (event->type == kube::EventType::kBookmark) return {};
  changed_ = true;
  if (event->type == kube::EventType::kRemoved) {
    state_.erase(event->object.name);
    return {};
  }
  auto name = event->object.name;
  state_.insert_or_assign(std::move(name), std::move(event->object));
  if (state_.size() <= kMaxMembers) return {};
  listed_ = false;
  return fail(Errc::kLimit, fmt::format("more than {} objects", kMaxMembers));
}

std::optional<milliseconds> KubeWatcher::publish_when_due() {
  const auto now = steady_clock::now();
  if (refresh_.exchange(false) || now >= again_) changed_ = true;
  const auto until = [&](steady_clock::time_point at) { return std::chrono::ceil<milliseconds>(at - now); };
  if (!changed_) return again_ == steady_clock::time_point::max() ? kQuiet : std::min(kQuiet, until(again_));
  if (now < next_publish_) return until(next_publish_);
  changed_ = false;
  next_publish_ = now + kPublishEvery;
  const auto again = events_.on_state(state_);
  again_ = again ? now + *again : steady_clock::time_point::max();
  return again ? std::min(kQuiet, *again) : kQuiet;
}

}  // namespace oxbow::p2p

#include "p2p/membership/etcd_watcher.h"

#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

constexpr std::chrono::milliseconds kLoadTimeout{15'000};  // tens of MB where the cluster is large
constexpr std::chrono::milliseconds kFirstPause{50};
constexpr std::chrono::milliseconds kLastPause{4'000};
// A cluster that starts is thousands of changes in a second; a view of all members for each would be quadratic.
constexpr std::chrono::milliseconds kPublishEvery{100};
constexpr std::chrono::milliseconds kQuiet{60'000};

}  // namespace

EtcdWatcher::EtcdWatcher(const EtcdOptions& options, std::string key, std::string end, Events events,
                         const StreamLimits& limits)
    : key_(std::move(key)),
      end_(std::move(end)),
      events_(std::move(events)),
      limits_(limits),
      client_(options, &thread_),
      backoff_(kFirstPause, kLastPause) {}

void EtcdWatcher::resync() {
  resync_ = true;
  thread_.wake();
}

void EtcdWatcher::run() {
  do {
    if (resync_.exchange(false) || end_.empty()) revision_ = 0;
    Result<> loaded;
    if (revision_ == 0) loaded = load();
    const auto error = loaded ? follow() : std::move(loaded.error());
    if (thread_.stopping()) return;
    // Ended by ourselves, or nothing but a reason to read again.
    if (resync_ || error.code() == Errc::kOutOfRange) continue;
    events_.on_failure(error);
  } while (thread_.wait(backoff_.next()));
}

Result<> EtcdWatcher::load() {
  const auto answer = client_.call("/v3/kv/range", etcd::range_request(key_, end_), {.timeout = kLoadTimeout});
  if (!answer) return std::unexpected(answer.error());
  auto range = etcd::parse_range(*answer);
  if (!range) return std::unexpected(std::move(range.error()));
  if (range->entries.size() > kMaxMembers) return fail(Errc::kLimit, fmt::format("more than {} keys", kMaxMembers));
  state_.clear();
  for (auto& entry : range->entries) state_[std::move(entry.key)] = {std::move(entry.value), entry.mod_revision};
  revision_ = range->revision;
  changed_ = true;
  next_publish_ = {};
  publish_when_due();
  return {};
}

Error EtcdWatcher::follow() {
  const StreamSink sink{.on_line = [this](std::string_view line) { return take(line); },
                        .on_turn = [this] { return turn(); }};
  return client_.stream("/v3/watch", etcd::watch_request(key_, end_, revision_ + 1), sink, limits_);
}

Result<> EtcdWatcher::take(std::string_view line) {
  auto answer = etcd::parse_watch(line);
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (answer->compact_revision > 0) {
    revision_ = 0;
    return fail(Errc::kOutOfRange, "what was missed has been compacted");
  }
  if (answer->canceled) {
    const auto says = [&](const char* words) { return answer->cancel_reason.find(words) != std::string::npos; };
    const bool token = says("auth token") || etcd::says_token_is_old(answer->cancel_reason);
    const auto code = token ? Errc::kUnauthorized : says("permission denied") ? Errc::kDenied : Errc::kUnavailable;
    return fail(code, "watch canceled: " + answer->cancel_reason);
  }
  if (answer->created) {
    // Behind us: a store that has lost what we read of it, or a member that lags. It would say nothing until it has
    // counted as far as we have.
    if (answer->revision < revision_) {
      revision_ = 0;
      return fail(Errc::kOutOfRange, "the store is behind what was read of it");
    }
    backoff_.reset();
    events_.on_well();
  }
  const auto last = answer->events.empty() ? std::int64_t{0} : answer->events.back().entry.mod_revision;
  apply(std::move(answer->events));
  if (state_.size() > kMaxMembers) {
    revision_ = 0;
    return fail(Errc::kLimit, fmt::format("more than {} keys", kMaxMembers));
  }
  // An answer without events says how far it is (but the first, of a member that may lag or be ahead of what it sends).
  if (last > 0) revision_ = std::max(revision_, last);
  if (last == 0 && !answer->created) revision_ = std::max(revision_, answer->revision);
  return {};
}

void EtcdWatcher::apply(std::vector<etcd::Event> events) {
  for (auto& event : events) {
    changed_ = true;
    if (event.removed) {
      state_.erase(event.entry.key);
    } else {
      state_[std::move(event.entry.key)] = {std::move(event.entry.value), event.entry.mod_revision};
    }
  }
}

std::optional<std::chrono::milliseconds> EtcdWatcher::turn() {
  if (resync_) return std::nullopt;
  return publish_when_due();
}

std::chrono::milliseconds EtcdWatcher::publish_when_due() {
  if (!changed_) return kQuiet;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_publish_) return std::chrono::ceil<std::chrono::milliseconds>(next_publish_ - now);
  changed_ = false;
  next_publish_ = now + kPublishEvery;
  events_.on_state(state_);
  return kQuiet;
}

}  // namespace oxbow::p2p

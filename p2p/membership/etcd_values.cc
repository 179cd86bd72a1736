#include <charconv>

#include "core/log.h"
#include "p2p/cluster_values.h"
#include "p2p/membership/etcd_client.h"
#include "p2p/membership/etcd_json.h"
#include "p2p/membership/etcd_watcher.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxValueBytes = 1 << 20;  // etcd refuses requests above 1.5 MiB

/// Keys are under <prefix>values/; a revision is the key's mod_revision.
class EtcdValues final : public ClusterValues {
 public:
  explicit EtcdValues(EtcdOptions options) : checked_(check_etcd_options(std::move(options))) {
    if (checked_) client_.emplace(*checked_, nullptr);
  }
  ~EtcdValues() override {
    for (const auto& watcher : watchers_) watcher->stop();
  }

  Result<std::optional<ClusterValue>> get(std::string key) override {
    if (!checked_) return std::unexpected(checked_.error());
    const auto answer = ask("/v3/kv/range", etcd::range_request(place(key), {}), true);
    if (!answer) return std::unexpected(answer.error());
    auto range = etcd::parse_range(*answer);
    if (!range) return std::unexpected(std::move(range.error()));
    if (range->entries.empty()) return std::nullopt;
    auto& entry = range->entries.front();
    return ClusterValue{std::move(entry.value), std::to_string(entry.mod_revision)};
  }

  Result<ValueRevision> compare_and_swap(std::string key, std::optional<ValueRevision> expected,
                                         std::string value) override {
    if (!checked_) return std::unexpected(checked_.error());
    if (value.size() > kMaxValueBytes)
      return fail(Errc::kLimit, fmt::format("a value of the cluster has at most {} bytes", kMaxValueBytes));
    std::int64_t revision = 0;
    if (expected && !read_revision(*expected, revision)) return busy(key);  // of another store: equal to none here
    const auto answer = ask("/v3/kv/txn", etcd::swap_request(place(key), value, revision), false);
    if (!answer) return std::unexpected(answer.error());
    const auto swap = etcd::parse_swap(*answer);
    if (!swap) return std::unexpected(swap.error());
    if (!swap->succeeded) return busy(key);
    return std::to_string(swap->revision);
  }

  void watch(std::string key, std::function<void(std::optional<ClusterValue>)> on_value) override {
    if (!checked_) return log::warn("a value of the cluster cannot be watched", {log::Field(checked_.error())});
    const auto at = place(key);
    auto watcher = std::make_unique<EtcdWatcher>(*checked_, at, std::string(), events(key, at, std::move(on_value)));
    if (auto started = watcher->start(); !started)
      return log::warn("a value of the cluster cannot be watched", {{"key", key}, log::Field(started.error())});
    const std::lock_guard lock(watchers_mutex_);
    watchers_.push_back(std::move(watcher));
  }

 private:
  std::string place(const std::string& key) const { return checked_->prefix + "values/" + key; }

  static bool read_revision(const ValueRevision& text, std::int64_t& out) {
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
    return code == std::errc() && end == text.data() + text.size() && out > 0;
  }
  static std::unexpected<Error> busy(const std::string& key) {
    return fail(Errc::kBusy, "somebody else has changed '" + key + "'");
  }

  /// A swap is not repeated elsewhere: it may have been done, and would then seem to be somebody else's.
  Result<std::string> ask(const std::string& path, const std::string& body, bool repeatable) {
    const std::lock_guard lock(client_mutex_);
    auto answer = client_->call(path, body, {.repeatable = repeatable});
    if (answer) return answer;
    const auto code = answer.error().code();
    if (code == Errc::kTimeout) return fail(Errc::kUnavailable, answer.error().what());
    return answer;
  }

  /// Calls back when the value or its revision differs from what was told last.
  static EtcdWatcher::Events events(const std::string& key, const std::string& at,
                                    std::function<void(std::optional<ClusterValue>)> on_value) {
    // Not the revision alone: a store that has lost its data counts from the beginning.
    struct Told {
      bool any = false;
      EtcdWatcher::Entry entry;
    };
    auto told = std::make_shared<Told>();
    auto failing = std::make_shared<bool>(false);
    return {.on_state =
                [at, told, on_value = std::move(on_value)](const EtcdWatcher::State& state) {
                  const auto found = state.find(at);
                  const auto entry = found == state.end() ? EtcdWatcher::Entry() : found->second;
                  if (std::exchange(told->any, true) && told->entry == entry) return;
                  told->entry = entry;
                  if (found == state.end()) return on_value(std::nullopt);
                  on_value(ClusterValue{entry.value, std::to_string(entry.mod_revision)});
                },
            .on_well =
                [key, failing] {
                  if (std::exchange(*failing, false)) log::info("values of the cluster are seen again", {{"key", key}});
                },
            .on_failure =
                [key, failing](const Error& error) {
                  if (!std::exchange(*failing, true))
                    log::warn("changes of a cluster's value are not seen", {{"key", key}, log::Field(error)});
                }};
  }

  const Result<EtcdOptions> checked_;
  std::mutex client_mutex_;
  std::optional<EtcdClient> client_;
  std::mutex watchers_mutex_;
  std::vector<std::unique_ptr<EtcdWatcher>> watchers_;
};

}  // namespace

std::unique_ptr<ClusterValues> make_etcd_values(EtcdOptions options) {
  return std::make_unique<EtcdValues>(std::move(options));
}

}  // namespace oxbow::p2p

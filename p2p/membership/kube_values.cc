#include "core/encoding.h"
#include "core/log.h"
#include "p2p/cluster_values.h"
#include "p2p/membership/kube_client.h"
#include "p2p/membership/kube_json.h"
#include "p2p/membership/kube_watcher.h"

namespace oxbow::p2p {
namespace {

constexpr std::size_t kMaxValueBytes = 1'000'000;  // the API server refuses ConfigMaps above 1 MiB
constexpr std::size_t kMaxKeyBytes = 253;

/// Keys are those of one ConfigMap; a revision is the ConfigMap's resourceVersion.
class KubernetesValues final : public ClusterValues {
 public:
  explicit KubernetesValues(KubernetesOptions options) : checked_(check_kubernetes_options(std::move(options))) {
    if (!checked_) return;
    client_.emplace(*checked_, nullptr);
    collection_ = fmt::format("/api/v1/namespaces/{}/configmaps", checked_->namespace_name);
    place_ = collection_ + "/" + checked_->config_map;
  }
  ~KubernetesValues() override {
    if (watcher_) watcher_->stop();
  }

  Result<std::optional<ClusterValue>> get(std::string key) override {
    if (!checked_) return std::unexpected(checked_.error());
    const auto map = read();
    if (!map) return std::unexpected(map.error());
    return *map ? value_in(**map, key) : std::nullopt;
  }

  Result<ValueRevision> compare_and_swap(std::string key, std::optional<ValueRevision> expected,
                                         std::string value) override {
    if (auto fits = check(key, value); !fits) return std::unexpected(std::move(fits.error()));
    if (expected) return patch(key, value, *expected);
    const auto map = read();
    if (!map) return std::unexpected(map.error());
    if (!*map) return create(key, value);
    if (value_in(**map, key)) return busy(key);
    return patch(key, value, (*map)->version);
  }

  /// All keys share one watch, which begins with the first.
  void watch(std::string key, std::function<void(std::optional<ClusterValue>)> on_value) override {
    if (!checked_) return log::warn("a value of the cluster cannot be watched", {log::Field(checked_.error())});
    const std::lock_guard lock(watcher_mutex_);
    {
      const std::lock_guard listeners(listeners_mutex_);
      listeners_.push_back({std::move(key), std::move(on_value), false, {}});
    }
    if (watcher_) return watcher_->refresh();
    watcher_ = std::make_unique<KubeWatcher>(
        *checked_, collection_, "fieldSelector=" + percent_encode("metadata.name=" + checked_->config_map),
        KubeWatcher::Events{.on_state = [this](const KubeWatcher::State& state) { return tell(state); },
                            .on_well = [this] { well(); },
                            .on_failure = [this](const Error& error) { failed(error); }});
    if (auto started = watcher_->start("kube-values"); !started)
      log::warn("values of the cluster cannot be watched", {log::Field(started.error())});
  }

 private:
  struct Listener {
    std::string key;
    std::function<void(std::optional<ClusterValue>)> on_value;
    bool told = false;
    std::optional<std::string> last;
  };

  static std::unexpected<Error> busy(const std::string& key) {
    return fail(Errc::kBusy, "somebody else has changed '" + key + "', or another key of the ConfigMap");
  }

  static std::optional<ClusterValue> value_in(const kube::Object& map, const std::string& key) {
    const auto* content = std::get_if<kube::ConfigMap>(&map.content);
    if (content == nullptr) return std::nullopt;
    const auto found = content->data.find(key);
    if (found == content->data.end()) return std::nullopt;
    return ClusterValue{found->second, map.version};
  }

  Result<> check(const std::string& key, const std::string& value) const {
    if (!checked_) return std::unexpected(checked_.error());
    const auto fits = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
             c == '.';
    };
    if (key.empty() || key.size() > kMaxKeyBytes || !std::ranges::all_of(key, fits))
      return fail(Errc::kInvalid, "a key of a ConfigMap has letters, digits, '-', '_' and '.'");
    if (value.size() > kMaxValueBytes)
      return fail(Errc::kLimit, fmt::format("a value of the cluster has at most {} bytes", kMaxValueBytes));
    return {};
  }

  Result<std::string> ask(const KubeClient::Call& call) {
    const std::lock_guard lock(client_mutex_);
    auto answer = client_->call(call);
    if (answer) return answer;
    const auto code = answer.error().code();
    if (code == Errc::kTimeout || code == Errc::kThrottled) return fail(Errc::kUnavailable, answer.error().what());
    return answer;
  }

  /// Nothing: there is no such ConfigMap.
  Result<std::optional<kube::Object>> read() {
    const auto answer = ask({.path = place_});
    if (!answer && answer.error().code() == Errc::kNotFound) return std::nullopt;
    if (!answer) return std::unexpected(answer.error());
    auto map = kube::parse_object(*answer);
    if (!map) return std::unexpected(std::move(map.error()));
    return std::move(*map);
  }

  Result<ValueRevision> create(const std::string& key, const std::string& value) {
    const auto body = kube::create_request(checked_->config_map, key, value);
    if (!body) return std::unexpected(body.error());
    return written(key, ask({.path = collection_, .method = "POST", .body = *body}));
  }

  /// One key and the version that the whole has to have; the other keys, and labels of tools, stay as they are.
  Result<ValueRevision> patch(const std::string& key, const std::string& value, const ValueRevision& version) {
    const auto body = kube::patch_request(key, value, version);
    if (!body) return std::unexpected(body.error());
    return written(
        key, ask({.path = place_, .method = "PATCH", .body = *body, .content_type = "application/merge-patch+json"}));
  }

  static Result<ValueRevision> written(const std::string& key, const Result<std::string>& answer) {
    if (!answer) {
      const auto code = answer.error().code();
      if (code == Errc::kBusy || code == Errc::kNotFound) return busy(key);
      return std::unexpected(answer.error());
    }
    auto map = kube::parse_object(*answer);
    if (!map) return std::unexpected(std::move(map.error()));
    return std::move(map->version);
  }

  /// Calls back where the value differs from what was told last.
  std::optional<std::chrono::milliseconds> tell(const KubeWatcher::State& state) {
    const auto found = state.find(checked_->config_map);
    std::vector<std::pair<std::function<void(std::optional<ClusterValue>)>, std::optional<ClusterValue>>> calls;
    {
      const std::lock_guard lock(listeners_mutex_);
      for (auto& one : listeners_) {
        auto value = found == state.end() ? std::nullopt : value_in(found->second, one.key);
        auto text = value ? std::optional(value->value) : std::nullopt;
        if (std::exchange(one.told, true) && one.last == text) continue;
        one.last = std::move(text);
        calls.emplace_back(one.on_value, std::move(value));
      }
    }
    for (auto& [on_value, value] : calls) on_value(std::move(value));
    return std::nullopt;
  }

  void well() {
    if (std::exchange(failing_, false)) log::info("values of the cluster are seen again");
  }
  void failed(const Error& error) {
    if (!std::exchange(failing_, true)) log::warn("changes of the cluster's values are not seen", {log::Field(error)});
  }

  const Result<KubernetesOptions> checked_;
  std::string collection_, place_;
  std::mutex client_mutex_;
  std::optional<KubeClient> client_;
  std::mutex watcher_mutex_;
  std::mutex listeners_mutex_;
  std::vector<Listener> listeners_;
  bool failing_ = false;  ///< on the watcher's thread
  std::unique_ptr<KubeWatcher> watcher_;
};

}  // namespace

std::unique_ptr<ClusterValues> make_kubernetes_values(KubernetesOptions options) {
  return std::make_unique<KubernetesValues>(std::move(options));
}

}  // namespace oxbow::p2p

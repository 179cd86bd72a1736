#include "core/encoding.h"
#include "p2p/membership.h"
#include "p2p/membership/kube_members.h"
#include "p2p/membership/kube_own_node.h"
#include "p2p/membership/kube_watcher.h"
#include "p2p/membership/view_hold.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kWatch = "watch";
constexpr std::string_view kName = "name";
// A Service that was deleted and made again, or mistyped for a moment, takes nobody out of the view.
constexpr milliseconds kHold{60'000};
// A pod that starts is an endpoint within seconds.
constexpr milliseconds kListedWithin{30'000};

class KubernetesMembership final : public Membership {
 public:
  KubernetesMembership(KubernetesOptions options, Member self, MetricsRegistry& metrics)
      : options_(std::move(options)), self_(std::move(self)), publisher_("kubernetes", metrics) {}
  ~KubernetesMembership() override { stop(); }

  Result<> start(OnView on_view) override {
    const auto checked = check_kubernetes_options(options_);
    if (!checked) return std::unexpected(checked.error().in("membership"));
    publisher_.set_callback(std::move(on_view));
    absent_since_ = Now::clock::now();
    service_ = checked->namespace_name + "/" + checked->service;
    watcher_ = std::make_unique<KubeWatcher>(
        *checked, fmt::format("/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", checked->namespace_name),
        "labelSelector=" + percent_encode("kubernetes.io/service-name=" + checked->service),
        KubeWatcher::Events{.on_state = [this](const KubeWatcher::State& state) { return take(state); },
                            .on_well = [this] { publisher_.well(kWatch); },
                            .on_failure = [this](const Error& error) { publisher_.failed(kWatch, error); }});
    if (auto started = watcher_->start("kube-watch"); !started) return started;
    if (!self_.location.empty() || options_.location_labels.empty()) return {};
    own_node_ = std::make_unique<KubeOwnNode>(*checked, self_.name, [this](std::vector<std::string> location) {
      {
        const std::lock_guard lock(mutex_);
        location_ = std::move(location);
      }
      watcher_->refresh();
    });
    return own_node_->start();
  }

  void stop() override {
    if (own_node_) own_node_->stop();
    if (watcher_) watcher_->stop();
  }
  std::string_view provider() const noexcept override { return "kubernetes"; }
  std::string trouble() const override { return publisher_.trouble(); }

 private:
  using Now = std::chrono::steady_clock::time_point;

  std::optional<milliseconds> take(const KubeWatcher::State& state) {
    const auto now = Now::clock::now();
    auto members = kube::members_of(state, options_.port_name, places());
    const bool present = std::ranges::find(members, self_.name, &Member::name) != members.end();
    if (std::exchange(present_, present) && !present) {
      hold_.begin(now + kHold);
      hold_until_ = now + kHold;
      absent_since_ = now;
    }
    publisher_.publish(hold_.merge(std::move(members), now));
    return look_at_self(present, now);
  }

  /// Under another name than its node's this node would be two members. Returns when to look again.
  std::optional<milliseconds> look_at_self(bool present, Now now) {
    if (present) {
      publisher_.well(kName);
      return std::nullopt;
    }
    const auto due = std::max(absent_since_ + kListedWithin, hold_until_);
    if (now < due) return std::chrono::ceil<milliseconds>(due - now);
    publisher_.failed(kName,
                      Error(Errc::kNotFound, fmt::format("no endpoint of the Service {} with the port '{}' is on a "
                                                         "node '{}', which is this node's name: peer.name must "
                                                         "be that of the node",
                                                         service_, options_.port_name, self_.name)));
    return std::nullopt;
  }

  kube::Places places() {
    const std::lock_guard lock(mutex_);
    return {.labels = options_.location_labels, .self = self_.name, .self_location = location_};
  }

  const KubernetesOptions options_;
  const Member self_;
  ViewPublisher publisher_;
  std::string service_;
  ViewHold hold_;
  bool present_ = false;  ///< this node, in the last state that was seen
  Now absent_since_{};
  Now hold_until_{};
  std::mutex mutex_;
  std::vector<std::string> location_;
  std::unique_ptr<KubeWatcher> watcher_;
  std::unique_ptr<KubeOwnNode> own_node_;
};

}  // namespace

std::unique_ptr<Membership> make_kubernetes_membership(KubernetesOptions options, Member self,
                                                       MetricsRegistry& metrics) {
  return std::make_unique<KubernetesMembership>(std::move(options), std::move(self), metrics);
}

}  // namespace oxbow::p2p

#include "core/log.h"
#include "p2p/membership.h"
#include "p2p/membership/etcd_registration.h"
#include "p2p/membership/etcd_watcher.h"
#include "p2p/membership/member_format.h"
#include "p2p/membership/view_hold.h"
#include "p2p/membership/view_publisher.h"

namespace oxbow::p2p {
namespace {

constexpr std::string_view kRegistration = "registration";
constexpr std::string_view kWatch = "watch";

/// The members among the keys. Each value is parsed when it changes, not for every view.
class MemberKeys {
 public:
  explicit MemberKeys(std::string prefix) : prefix_(std::move(prefix)) {}

  std::vector<Member> update(const EtcdWatcher::State& state) {
    std::erase_if(known_, [&](const auto& one) { return !state.contains(one.first); });
    std::vector<Member> members;
    for (const auto& [key, entry] : state) {
      auto& known = known_[key];
      if (known.value != entry.value) known = {entry.value, read(key, entry.value)};
      if (known.member) members.push_back(*known.member);
    }
    return members;
  }

 private:
  struct Known {
    std::optional<std::string> value;
    std::optional<Member> member;
  };

  /// One broken entry costs one member, not the view.
  std::optional<Member> read(const std::string& key, const std::string& value) const {
    auto member = parse_member(value);
    if (member && prefix_ + member->name != key) member = fail(Errc::kInvalid, "the name is not that of the key");
    if (member) return std::move(*member);
    log::warn("a member in etcd is left out", {{"key", key}, log::Field(member.error())});
    return std::nullopt;
  }

  const std::string prefix_;
  std::map<std::string, Known> known_;
};

class EtcdMembership final : public Membership {
 public:
  EtcdMembership(EtcdOptions options, Member self, MetricsRegistry& metrics)
      : options_(std::move(options)), self_(std::move(self)), publisher_("etcd", metrics) {}
  ~EtcdMembership() override { stop(); }

  Result<> start(OnView on_view) override {
    auto checked = check_etcd_options(options_);
    if (!checked) return std::unexpected(std::move(checked.error()).in("membership"));
    // What the others would leave out is refused here, where somebody can mend it.
    const auto json = member_to_json(self_);
    if (auto read = parse_member(json); !read)
      return std::unexpected(std::move(read.error()).in("this node as a member"));
    publisher_.set_callback(std::move(on_view));
    const auto prefix = checked->prefix + "members/";
    keys_.emplace(prefix);
    make_registration(*checked, prefix + self_.name, json);
    make_watcher(*checked, prefix);
    if (auto started = watcher_->start(); !started) return started;
    auto started = registration_->start();
    if (!started) watcher_->stop();
    return started;
  }

  void stop() override {
    if (watcher_) watcher_->stop();
    if (registration_) registration_->stop();
  }
  std::string_view provider() const noexcept override { return "etcd"; }
  std::string trouble() const override { return publisher_.trouble(); }

 private:
  void make_registration(const EtcdOptions& options, const std::string& key, const std::string& json) {
    registration_ = std::make_unique<EtcdRegistration>(
        options, key, json,
        EtcdRegistration::Events{.on_well =
                                     [this] {
                                       publisher_.well(kRegistration);
                                       if (hold_.take_end(std::chrono::steady_clock::now())) watcher_->resync();
                                     },
                                 .on_failure = [this](const Error& error) { publisher_.failed(kRegistration, error); },
                                 .on_lease_lost =
                                     [this] {
                                       hold_.begin(std::chrono::steady_clock::now() + options_.lease_ttl);
                                       watcher_->resync();
                                     }});
  }

  void make_watcher(const EtcdOptions& options, const std::string& prefix) {
    watcher_ = std::make_unique<EtcdWatcher>(
        options, prefix, etcd::range_end(prefix),
        EtcdWatcher::Events{.on_state = [this, prefix](const EtcdWatcher::State& state) { take(prefix, state); },
                            .on_well = [this] { publisher_.well(kWatch); },
                            .on_failure = [this](const Error& error) { publisher_.failed(kWatch, error); }});
  }

  void take(const std::string& prefix, const EtcdWatcher::State& state) {
    const auto now = std::chrono::steady_clock::now();
    const bool present = state.contains(prefix + self_.name);
    // Never seen yet means that the registration is on its way.
    if (std::exchange(self_present_, present) && !present) {
      hold_.begin(now + options_.lease_ttl);
      registration_->put_again();
    }
    publisher_.publish(hold_.merge(keys_->update(state), now));
  }

  const EtcdOptions options_;
  const Member self_;
  ViewPublisher publisher_;
  std::optional<MemberKeys> keys_;
  ViewHold hold_;
  bool self_present_ = false;  ///< in the last state that was seen
  std::unique_ptr<EtcdRegistration> registration_;
  std::unique_ptr<EtcdWatcher> watcher_;
};

}  // namespace

std::unique_ptr<Membership> make_etcd_membership(EtcdOptions options, Member self, MetricsRegistry& metrics) {
  return std::make_unique<EtcdMembership>(std::move(options), std::move(self), metrics);
}

}  // namespace oxbow::p2p

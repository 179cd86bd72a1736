#include "mirror/ring_options.h"

#include <unistd.h>

#include <array>
#include <condition_variable>

#include "config/validate.h"
#include "core/log.h"
#include "core/tls/safe_files.h"
#include "p2p/ring.h"

namespace oxbow::mirror {
namespace {

static_assert(config::kRingWeightMin <= p2p::Ring::kWeightMin && config::kRingWeightMin >= p2p::Ring::kWeightMin);
static_assert(config::kRingWeightMax <= p2p::Ring::kWeightMax && config::kRingWeightMax >= p2p::Ring::kWeightMax);

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "localhost";
}

p2p::EtcdOptions etcd_options(const config::Membership& from) {
  p2p::EtcdOptions to;
  to.endpoints = from.endpoints;
  to.prefix = from.prefix;
  to.ca_file = from.tls.ca;
  to.certificate_file = from.tls.certificate;
  to.key_file = from.tls.key;
  to.username = from.username;
  to.password_file = from.password_file;
  to.lease_ttl = from.lease_ttl;
  return to;
}

p2p::KubernetesOptions kubernetes_options(const config::Membership& from) {
  p2p::KubernetesOptions to;
  to.api_server = from.api_server;
  to.namespace_name = from.namespace_name;
  to.service = from.service;
  to.port_name = from.port_name;
  to.config_map = from.config_map;
  to.location_labels = from.location_labels;
  to.account_directory = from.account_directory;
  return to;
}

}  // namespace

p2p::StrategyKind strategy_kind(config::Strategy strategy) noexcept {
  switch (strategy) {
    case config::Strategy::kSwarm:
      return p2p::StrategyKind::kSwarm;
    case config::Strategy::kRing:
      return p2p::StrategyKind::kRing;
    case config::Strategy::kFingers:
      return p2p::StrategyKind::kFingers;
    case config::Strategy::kSingle:
      return p2p::StrategyKind::kSingle;
  }
  std::abort();
}

p2p::Member self_member(const config::Config& config) {
  p2p::Member self;
  self.name = config.peer.name.empty() ? host_name() : config.peer.name;
  self.addresses = {config::advertised(config.peer)};
  self.location = config.peer.location;
  self.weight = config.peer.weight;
  return self;
}

Result<std::unique_ptr<p2p::Membership>> make_membership(const config::Config& config, const p2p::Member& self,
                                                         MetricsRegistry& metrics) {
  const auto& from = config.membership;
  switch (from.provider) {
    case config::MembershipProvider::kStatic:
      return p2p::make_static_membership({from.peers});
    case config::MembershipProvider::kFile:
      return p2p::make_file_membership({from.path}, metrics);
    case config::MembershipProvider::kDns:
      return p2p::make_dns_membership({from.name, static_cast<std::uint16_t>(from.port), from.interval}, metrics);
    case config::MembershipProvider::kEtcd:
      return p2p::make_etcd_membership(etcd_options(from), self, metrics);
    case config::MembershipProvider::kKubernetes:
      return p2p::make_kubernetes_membership(kubernetes_options(from), self, metrics);
  }
  std::abort();
}

std::unique_ptr<p2p::ClusterValues> make_cluster_values(const config::Config& config) {
  const auto& from = config.membership;
  if (from.provider == config::MembershipProvider::kEtcd) return p2p::make_etcd_values(etcd_options(from));
  if (from.provider == config::MembershipProvider::kKubernetes)
    return p2p::make_kubernetes_values(kubernetes_options(from));
  return nullptr;
}

std::optional<p2p::StrategyKind> strategy_named(std::string_view name) noexcept {
  using enum p2p::StrategyKind;
  for (const auto kind : {kSwarm, kRing, kFingers, kSingle}) {
    if (p2p::to_string(kind) == name) return kind;
  }
  return std::nullopt;
}

RevokedList::RevokedList(const config::Config& config, p2p::ClusterValues* values, OnList on_list,
                         std::chrono::milliseconds look_every)
    : path_(config.peer.revoked_file),
      remembered_path_(config.storage.directory + "/revoked.json"),
      on_list_(std::move(on_list)),
      look_every_(look_every),
      values_(values) {}

RevokedList::~RevokedList() { stop(); }

Result<> RevokedList::load() {
  if (values_ != nullptr) take_remembered();
  if (path_.empty()) return {};
  const auto taken = take_file();
  if (taken) return {};
  return fail(taken.error().code(), fmt::format("{}; nobody would be refused: copy revoked.json from the CA to {}, "
                                                "or write [] to it if nobody is revoked",
                                                taken.error().what(), path_));
}

Result<> RevokedList::take_file() {
  auto text = tls::read_file(path_, kMaxRevokedFileBytes);
  if (!text) return std::unexpected(std::move(text.error()));
  if (*text == last_text_) return {};
  auto names = p2p::parse_revoked(*text);
  if (!names) return std::unexpected(std::move(names.error()));
  last_text_ = std::move(*text);
  log::info("revoked identities", {{"path", path_}, {"count", names->size()}});
  set(from_file_, std::move(*names));
  return {};
}

/// A node that starts while the provider is away would let everybody in who was shut out.
void RevokedList::take_remembered() {
  auto text = tls::read_file(remembered_path_, kMaxRevokedFileBytes);
  if (!text && text.error().code() == Errc::kNotFound) return;  // none was ever seen, or the storage is new
  auto names = text ? p2p::parse_revoked(*text) : std::unexpected(text.error());
  if (!names) {
    log::warn(
        "the cluster's list of revoked identities as it was last seen cannot be used: nobody is refused before the "
        "cluster says its list",
        {{"path", remembered_path_}, log::Field(names.error())});
    return;
  }
  remembered_ = std::move(*text);
  set(from_cluster_, std::move(*names));
}

void RevokedList::remember(const std::string& text) {
  if (remembered_ == text) return;
  if (auto kept = tls::replace_file(remembered_path_, text, tls::Secrecy::kPrivate); !kept) {
    log::warn("the cluster's list of revoked identities cannot be kept for the next start",
              {{"path", remembered_path_}, log::Field(kept.error())});
    return;
  }
  remembered_ = text;
}

void RevokedList::start() {
  if (values_ != nullptr) {
    values_->watch(std::string(p2p::kRevokedKey), [this](const std::optional<p2p::ClusterValue>& value) {
      if (!value) return note_list_gone();
      auto names = p2p::parse_revoked(value->value);
      if (!names) {
        log::warn("the cluster's list of revoked identities is not one; keeping the last", {log::Field(names.error())});
        return;
      }
      log::info("revoked identities of the cluster", {{"count", names->size()}});
      set(from_cluster_, std::move(*names));
      remember(value->value);
    });
  }
  if (!path_.empty()) thread_ = std::jthread([this](const std::stop_token& stop) { watch_file(stop); });
}

/// A store that has lost its data must not let everybody in who was shut out: nobody is revoked when a list says so.
void RevokedList::note_list_gone() {
  const std::lock_guard lock(mutex_);
  if (from_cluster_.empty()) return;
  log::warn("the cluster's list of revoked identities is gone; keeping the last. Publish it again, or [] to clear it",
            {{"count", from_cluster_.size()}});
}

void RevokedList::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void RevokedList::set(std::vector<std::string>& list, std::vector<std::string> names) {
  const std::lock_guard lock(mutex_);
  list = std::move(names);
  auto all = from_file_;
  all.insert(all.end(), from_cluster_.begin(), from_cluster_.end());
  on_list_(std::move(all));
}

void RevokedList::watch_file(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  bool warned = false;
  while (!stop.stop_requested()) {
    if (const auto taken = take_file(); taken) {
      warned = false;
    } else if (!std::exchange(warned, true)) {
      log::warn("the list of revoked identities cannot be used; keeping the last",
                {{"path", path_}, log::Field(taken.error())});
    }
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, look_every_, [] { return false; });
  }
}

}  // namespace oxbow::mirror

// The small cluster-wide key/value with compare-and-swap and opaque revisions, for what all nodes should agree on:
// settings by epoch and revoked identities. etcd and Kubernetes (a ConfigMap) implement it; static, file and DNS
// membership have none.
// Thread rule: any thread; blocks (call it on the pool); the watch calls back on a thread of its own. Lifetime: ends
// its watches when destroyed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "p2p/membership.h"

namespace oxbow::p2p {

/// Opaque: only equality means anything.
using ValueRevision = std::string;

struct ClusterValue {
  std::string value;
  ValueRevision revision;
};

class ClusterValues {
 public:
  virtual ~ClusterValues() = default;
  /// Nothing: no such key. Errors: kUnavailable.
  virtual Result<std::optional<ClusterValue>> get(std::string key) = 0;
  /// Writes if the key is still at `expected` (nothing: if it does not exist). Errors: kBusy (somebody else was
  /// faster: read again), kUnavailable.
  virtual Result<ValueRevision> compare_and_swap(std::string key, std::optional<ValueRevision> expected,
                                                 std::string value) = 0;
  /// Calls with the value now and after every change. Keeps trying while the store is away.
  virtual void watch(std::string key, std::function<void(std::optional<ClusterValue>)> on_value) = 0;
};

/// Settings that a cluster shares. The highest epoch wins; peers of another are not refused, so that changes roll.
struct ClusterSettings {
  std::uint64_t epoch = 0;
  std::string strategy;
  std::uint32_t replicas = 3;
};
inline constexpr std::string_view kSettingsKey = "settings";
inline constexpr std::string_view kRevokedKey = "revoked";  ///< JSON list of names or certificate serials

Result<ClusterSettings> parse_settings(std::string_view json);
std::string to_json(const ClusterSettings& settings);
Result<std::vector<std::string>> parse_revoked(std::string_view json);

std::unique_ptr<ClusterValues> make_etcd_values(EtcdOptions options);
/// Keys of one ConfigMap: a change of any of them makes a swap of another that was read before it kBusy.
std::unique_ptr<ClusterValues> make_kubernetes_values(KubernetesOptions options);

}  // namespace oxbow::p2p

// From the configuration to the parts of the ring.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "config/config.h"
#include "core/metrics.h"
#include "p2p/cluster_values.h"
#include "p2p/membership.h"
#include "p2p/strategy.h"

namespace oxbow::mirror {

p2p::StrategyKind strategy_kind(config::Strategy strategy) noexcept;

/// This node, with the host name where no name is given.
p2p::Member self_member(const config::Config& config);

Result<std::unique_ptr<p2p::Membership>> make_membership(const config::Config& config, const p2p::Member& self,
                                                         MetricsRegistry& metrics);

/// What all nodes share, where the provider keeps such a thing (etcd, kubernetes); else null.
std::unique_ptr<p2p::ClusterValues> make_cluster_values(const config::Config& config);

std::optional<p2p::StrategyKind> strategy_named(std::string_view name) noexcept;

/// A list of revoked identities: as many entries as are taken, of the longest names.
inline constexpr std::size_t kMaxRevokedFileBytes = 32UL << 20;

/// The revoked identities: from peer.revoked_file, looked at every few seconds, and from the cluster's own list where
/// the provider keeps one. A list that is gone or cannot be read keeps the last one. Without a first one of the file a
/// node must not start, for it would refuse nobody; the cluster's is remembered in the storage directory, for starts
/// while the provider is away or has lost it. Thread rule: `start`, `stop` from main; the callback comes from threads
/// of its own.
class RevokedList {
 public:
  using OnList = std::function<void(std::vector<std::string>)>;
  /// `values`: the cluster's; null where there are none. Its watch ends with it, before this.
  RevokedList(const config::Config& config, p2p::ClusterValues* values, OnList on_list,
              std::chrono::milliseconds look_every = std::chrono::milliseconds(5'000));
  ~RevokedList();

  /// The file as it is now and the cluster's list as it was last seen, told at once. Before `start`. Errors: those of
  /// reading the file; kInvalid, kLimit (no such list).
  Result<> load();
  void start();
  void stop();

 private:
  /// What is in the file now, told where it has changed.
  Result<> take_file();
  void watch_file(const std::stop_token& stop);
  void take_remembered();
  /// Of the cluster, as JSON: kept for the next start where it is another than before.
  void remember(const std::string& text);
  /// `list` is one of the two below; both together are told.
  void set(std::vector<std::string>& list, std::vector<std::string> names);
  void note_list_gone();

  std::string path_;
  const std::string remembered_path_;
  OnList on_list_;
  const std::chrono::milliseconds look_every_;
  p2p::ClusterValues* const values_;
  std::optional<std::string> last_text_;   ///< of the file; nothing: not read yet
  std::optional<std::string> remembered_;  ///< what is in `remembered_path_`; nothing: not known
  std::mutex mutex_;                       ///< held while the list is told, so that no older one is told last
  std::vector<std::string> from_file_;
  std::vector<std::string> from_cluster_;
  std::jthread thread_;
};

}  // namespace oxbow::mirror

// The nodes of a churn simulation: what each holds, the coordinators and finger owners on them, and who has been told
// what. Pulls by one strategy or the other are made of this (churn_swarm.cc, churn_fingers.cc).
// Thread rule: one thread. Lifetime: one a run.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "p2p/coordinator.h"
#include "p2p/finger_owner.h"
#include "p2p/finger_table.h"
#include "p2p/sim/churn_health.h"
#include "p2p/sim/churn_world.h"

namespace oxbow::p2p::sim {

using BlobId = std::uint32_t;

/// How one pull went.
struct PullOutcome {
  Ms delay_ms = 0;  ///< to the first byte
  std::uint32_t hops = 0;
  std::uint32_t extra_hops = 0;
  std::uint32_t dead_asked = 0;
  bool dead_first = false;
  bool upstream = false;
  std::vector<NodeId> sources = {};  ///< peers that serve it
};

class ChurnCluster {
 public:
  ChurnCluster(const ChurnOptions& options, ChurnWorld& world, Random& random);
  ~ChurnCluster();

  bool holds(NodeId node, BlobId blob) const;
  /// Somebody else who is up has it.
  bool held_elsewhere(NodeId node, BlobId blob, Ms now) const;
  std::size_t held(NodeId node) const noexcept { return held_[node].size(); }
  void keep(NodeId node, BlobId blob);

  PullOutcome pull_by_swarm(NodeId asker, BlobId blob, Ms now);
  PullOutcome pull_by_fingers(NodeId asker, BlobId blob, Ms now);

  /// What `node` holds of `blob` is told to its coordinator and that one's successor.
  void tell(NodeId node, BlobId blob, Ms now);
  /// All of it.
  void tell_all(NodeId node, Ms now);
  /// Of what has moved between the two views, by all nodes of the age.
  void tell_moved(std::uint32_t age, const View& before, const View& after, Ms now);
  /// Holders of what `node` coordinates or succeeds, by the view of that age.
  std::vector<std::pair<NodeId, BlobId>> told_to(NodeId node, std::uint32_t age, Ms now);
  /// So far.
  std::uint64_t announcements() const noexcept { return announcements_; }

 private:
  struct Held {
    BlobId blob = 0;
    std::array<NodeId, 2> told = {};
    std::array<Ms, 2> told_at = {-1, -1};
  };
  struct Server;  ///< the soft state of one process
  struct Swarming;
  struct Passing;
  using Top = std::array<NodeId, 2>;

  Server& server(NodeId node, Ms now);
  std::shared_ptr<const View> view_of(NodeId node, Ms now) { return world_.view(ChurnWorld::age_of(node), now); }
  /// The first of the key's walk that `node` would select.
  std::vector<NodeId> ranked(NodeId node, BlobId blob, std::size_t count, Ms now);
  const std::vector<Top>& tops(const View& view);
  Held* find(NodeId node, BlobId blob);
  AnnounceReply announce(NodeId from, NodeId coordinator, Announce message, Ms now);
  Announce wish(BlobId blob) const;
  Announce holding(BlobId blob) const;
  const FingerTable& fingers(const View& view, BlobId blob);

  bool find_coordinator(Swarming& pull);
  bool ask_neighbours(Swarming& pull, const AnnounceReply& reply);
  void ask_successor(Swarming& pull);
  void finish(Swarming& pull);
  bool follow(Passing& pull, std::uint32_t rung);
  bool pass(Passing& pull, NodeId judge, std::vector<NodeId> path, Ms left);
  bool act_as_owner(Passing& pull, NodeId owner, Ms left);
  bool use_lease(Passing& pull);

  const ChurnOptions& options_;
  ChurnWorld& world_;
  Random& random_;
  ChurnHealth health_;
  std::vector<Digest> digests_;
  std::vector<Key> keys_;
  std::vector<std::vector<Held>> held_;
  std::vector<std::vector<NodeId>> holders_;  ///< of a blob, the dead ones too
  std::vector<std::unique_ptr<Server>> servers_;
  std::map<Ms, std::vector<Top>> tops_;                                          ///< by view
  std::map<std::pair<Ms, BlobId>, std::unique_ptr<const FingerTable>> fingers_;  ///< by view
  std::uint64_t announcements_ = 0;
};

}  // namespace oxbow::p2p::sim

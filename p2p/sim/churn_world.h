// Who lives when, and who believes what about it: the lives of the nodes of a churn simulation, fixed before it runs,
// and the membership views that are published of them.
// Thread rule: one thread. Lifetime: one a run.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "p2p/peer_table.h"
#include "p2p/random.h"
#include "p2p/sim/churn.h"

namespace oxbow::p2p::sim {

using NodeId = std::uint32_t;
using Ms = std::int64_t;
inline constexpr Ms kNever = std::numeric_limits<Ms>::max();

struct Life {
  Ms born = 0;
  Ms dies = kNever;
  Ms down_from = kNever;  ///< a restart
  Ms down_until = kNever;
  std::uint32_t rack = 0;

  bool exists(Ms now) const noexcept { return born <= now && now < dies; }
  bool up(Ms now) const noexcept { return exists(now) && !(down_from <= now && now < down_until); }
  bool restarted(Ms now) const noexcept { return down_until <= now; }
};

/// A published view: one for all nodes that know it. A peer's id is its node's number and one.
struct View {
  Ms published = 0;
  std::shared_ptr<const PeerSnapshot> peers;
};

class ChurnWorld {
 public:
  /// Nodes see views of four different ages.
  static constexpr std::uint32_t kAges = 4;

  ChurnWorld(const ChurnOptions& options, Ms start, Ms end, Random& random);

  const std::vector<Life>& lives() const noexcept { return lives_; }
  const Life& life(NodeId node) const { return lives_[node]; }
  std::vector<std::string> location(NodeId node) const;
  /// Labels that the locations of two nodes share.
  std::uint32_t near(NodeId a, NodeId b) const noexcept;
  bool up(NodeId node, Ms now) const noexcept { return lives_[node].up(now); }
  /// How long a view stands before the next is published.
  Ms view_every() const noexcept { return view_every_; }
  static std::uint32_t age_of(NodeId node) noexcept { return node % kAges; }
  /// What nodes of that age know at `now`. Asked with times that do not go back.
  std::shared_ptr<const View> view(std::uint32_t age, Ms now);

 private:
  void plan_steady(Ms start, Ms end, Random& random);
  void plan_rack(Ms when, Random& random);
  void plan_rolling(Ms start, Random& random);
  std::shared_ptr<const View> publish(Ms when, const std::shared_ptr<const View>& before) const;

  const ChurnOptions& options_;
  std::vector<Life> lives_;
  Ms view_every_;
  std::vector<std::pair<std::int64_t, std::shared_ptr<const View>>> published_;  ///< by number; the last ones
};

}  // namespace oxbow::p2p::sim

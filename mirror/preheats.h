// Preheats that were started on this node: an image into the caches of many nodes. Asks each node over the peer
// protocol (this one directly), at most 64 at once, follows it each second, and asks again what has restarted or could
// not be reached. Kept in memory: the last 32. Thread rule: any thread; the work runs on one loop each. Lifetime: what
// `Parts` refers to outlives it; `close` before the loops end.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/metrics.h"
#include "core/task.h"
#include "p2p/peer_client.h"
#include "p2p/peer_preheats.h"
#include "p2p/peer_table.h"

namespace oxbow::mirror {

/// Which nodes of the cluster.
struct NodeChoice {
  std::optional<std::uint32_t> percent;  ///< 1 to 100
  std::vector<std::string> names;        ///< instead

  static NodeChoice all() { return {.percent = 100, .names = {}}; }
};
/// "all", "25%". Errors: kInvalid.
Result<NodeChoice> parse_node_share(std::string_view text);
/// Their names; a share goes by ring order of the image, so that a larger one has the smaller one in it. Errors:
/// kNotFound (names a node that is no member).
Result<std::vector<std::string>> choose_nodes(const p2p::PeerSnapshot& peers, const NodeChoice& choice,
                                              const Digest& digest);

class Preheats {
 public:
  struct Limits {
    std::size_t kept = 32;  ///< `preheats_kept` counts refusals: all of them run
    std::size_t at_once = 64;
    std::chrono::milliseconds follow_every{1'000};
    std::chrono::milliseconds ask_again{5'000};   ///< a node that is busy or cannot be reached
    std::chrono::milliseconds patience{600'000};  ///< with one that cannot be reached
    std::chrono::milliseconds timeout{10'000};    ///< of one question: answers wait behind stripes
  };
  struct Parts {
    Loops& loops;
    const Clock& clock;
    MetricsRegistry& metrics;
    std::string own_name;
    p2p::PeerPreheats& own;
    /// The members; with this node alone where there is no ring.
    std::function<std::shared_ptr<const p2p::PeerSnapshot>()> peers;
    /// Empty where there is no ring.
    std::function<Task<Result<p2p::PreheatReport>>(p2p::PeerId, p2p::PeerClient::PreheatCall,
                                                   std::chrono::milliseconds timeout)>
        ask;
  };
  struct Request {
    std::string image;  ///< for people
    std::string registry;
    std::string repository;
    Digest digest;
    std::string platform;
    NodeChoice nodes;
  };

  enum class NodeState : std::uint8_t { kWaiting, kRunning, kUnreachable, kDone, kFailed, kCancelled };
  struct Node {
    std::string name;
    NodeState state = NodeState::kWaiting;
    std::uint64_t bytes_done = 0;
    std::uint64_t bytes_total = 0;
    std::string error = {};
  };
  struct View {
    std::string id;
    std::string image;
    std::string digest;
    std::string platform;
    std::string state;  ///< running, done, failed, cancelled
    std::chrono::system_clock::time_point started;
    std::optional<std::chrono::system_clock::time_point> ended;
    std::vector<Node> nodes;
  };

  Preheats(Limits limits, Parts parts);
  ~Preheats();

  /// Its id. Errors: as choose_nodes, kLimit (too many run).
  Result<std::string> start(Request request);
  /// Newest first.
  std::vector<View> all() const;
  /// Errors: kNotFound.
  Result<View> one(std::string_view id) const;
  Result<View> cancel(std::string_view id);
  /// Lets all of them go: the nodes go on alone.
  void close();

 private:
  struct Preheat;

  static Task<> work(std::shared_ptr<Preheat> preheat);
  static Task<> run_node(std::shared_ptr<Preheat> preheat, std::size_t index);
  static Task<Result<p2p::PreheatReport>> call(std::shared_ptr<Preheat> preheat, std::string name,
                                               p2p::PeerClient::PreheatCall::What what);
  std::shared_ptr<Preheat> find(std::string_view id) const;

  const Limits limits_;
  const Parts parts_;
  Counter& kept_hits_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<Preheat>> preheats_;  ///< oldest first
  std::size_t next_loop_ = 0;
  bool closed_ = false;
};

std::string_view to_string(Preheats::NodeState state) noexcept;

}  // namespace oxbow::mirror

// A whole cluster in one process and in simulated time: real strategies, coordinators, rings and snapshots; links that
// share their capacity; upload slots with a short queue; an upstream; readers that take a blob in order through the
// daemon's window; and faults. Deterministic: the same options give the same run.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "p2p/coordinator.h"
#include "p2p/random.h"
#include "p2p/strategy.h"

namespace oxbow::p2p::test {

struct ClusterOptions {
  std::uint32_t nodes = 4;
  std::uint64_t blob_bytes = 256ULL * 1024 * 1024;
  double up = 25e6;  ///< bytes per second
  double down = 25e6;
  double upstream = 25e6;
  double upstream_connection = 0;  ///< throttle of one connection; 0: none
  double latency_ms = 1;
  double upstream_latency_ms = 5;
  double upstream_limit_ms = 10'000;  ///< without a byte: a request fails
  std::uint32_t upload_slots = 8;
  std::uint32_t same_stripe = 3;                   ///< of them for one stripe
  std::uint32_t in_turn_stripes = kInTurnStripes;  ///< of a blob with at most so many the copies of a stripe go in turn
  double turn_ms = kTurn.count();
  std::uint32_t upload_waiting = 3;
  double slot_wait_ms = 200;
  std::uint32_t upstream_slots = 6;
  std::uint32_t replicas = 3;
  std::uint32_t rack_size = 0;  ///< nodes of one rack; 0: no locations
  double step_ms = 2;
  std::uint64_t seed = 1;
};

class Cluster {
 public:
  using Make = std::function<std::unique_ptr<Strategy>(StrategyContext)>;
  Cluster(ClusterOptions options, Make make);
  ~Cluster();

  // Before and while it runs:
  void start(std::uint32_t node, double at_ms, bool may_fetch = true);
  void start_all(double at_ms = 0, double apart_ms = 0);
  void give_all(std::uint32_t node);  ///< it has the blob, and has announced it
  void give(std::uint32_t node, const HaveMap& have);
  void empty(std::uint32_t node);  ///< it has nothing any more, and has told nobody
  void at(double ms, std::function<void()> what);
  // The others' tables open the circuit of such a node: at once, or when three requests have timed out; and try it
  // again.
  void kill(std::uint32_t node);                       ///< its process is gone: connections break
  void hang(std::uint32_t node, bool noticed = true);  ///< it accepts and never answers; not `noticed`: by no table
  void stall_upstream(std::uint32_t node);             ///< its fetches from upstream stand still
  void slow(std::uint32_t node, double factor);
  void set_group(std::uint32_t node, std::uint32_t group);  ///< groups do not hear one another
  void upstream_down(bool down);
  // What all others think of it from now on; itself it always knows as a member in good health.
  void set_member(std::uint32_t node, bool member);
  void set_state(std::uint32_t node, PeerState state);
  void set_vetted(std::uint32_t node, bool vetted);

  /// Until every node that was started and lives is complete, or `limit_ms` has come.
  bool run(double limit_ms);

  double now_ms() const noexcept { return now_; }
  double finished_ms(std::uint32_t node) const;  ///< since its start; < 0: not complete
  double slowest_ms(const std::set<std::uint32_t>& except = {}) const;
  double upstream_share() const;  ///< bytes from upstream over the blob's size
  double upstream_share(std::uint32_t node) const;
  double moved_share() const;         ///< bytes that crossed links over bytes that nodes needed
  std::uint32_t coordinator() const;  ///< the first ranked node
  std::vector<std::uint32_t> ranked() const;
  /// Stripes that others had whole from it, and tails of them.
  std::uint32_t stripes_given(std::uint32_t node) const;
  /// A node with a running fetch from upstream at this moment.
  int lease_holder(int except = -1) const;
  int busiest_sender() const;
  std::uint32_t stripes_of(std::uint32_t node) const;
  const std::vector<std::string>& violations() const noexcept { return violations_; }
  double lower_bound_ms() const;
  std::uint64_t hedges() const noexcept { return hedges_; }
  std::uint64_t announces() const noexcept { return announces_; }
  std::uint64_t busy_answers() const noexcept { return busy_; }
  bool trace = false;

 private:
  struct Transfer;
  struct Node;
  struct Later {
    double at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator>(const Later& other) const { return at != other.at ? at > other.at : order > other.order; }
  };

  void later(double delay_ms, std::function<void()> what);
  void open_circuit(std::uint32_t node, double after_ms, double for_ms);  ///< and again when it was tried, for longer
  bool reach(std::uint32_t from, std::uint32_t to) const;
  double hop();
  void begin(std::uint32_t node);
  void tell(std::uint32_t node, const Event& event);
  void apply(std::uint32_t node, std::vector<Action> actions);
  void pump(std::uint32_t node);
  std::vector<StripeRange> window(const Node& node) const;
  void start_fetch(std::uint32_t node, const Fetch& fetch);
  void request(std::uint32_t node, FetchId id);
  void limit_upstream(std::uint32_t node, FetchId id);
  void turn_away(std::uint32_t source, std::uint32_t asker, FetchId id);
  void serve(Transfer& transfer);
  bool is_its_turn(const Node& source, const Transfer& transfer) const;
  bool may_serve(const Node& source, const Transfer& transfer) const;
  void tell_load(std::uint32_t of, std::uint32_t to);
  void serve_next(std::uint32_t source);
  void end_fetch(std::uint32_t node, FetchId id, Result<> outcome, bool lease = false);
  // Along a path (paths.cc):
  void own_turn(std::uint32_t node, FetchId id);
  void pass_on(std::uint32_t node, FetchId id);
  void forward(std::uint32_t at, std::uint32_t next, PeerId holder, Transfer& asked, Along along);
  void forward_ended(std::uint32_t at, const Transfer& forward, Result<>& outcome, bool lease);
  void wake(const std::vector<std::pair<std::uint32_t, FetchId>>& waiters);
  void expect_head(std::uint32_t node, FetchId id, std::chrono::milliseconds deadline);
  void refuse(std::uint32_t node, FetchId id, Errc code, bool lease = false);
  void send(std::uint32_t node, const Send& message);
  void watch(std::uint32_t node, std::uint32_t target);
  void have_changed(std::uint32_t node);
  void flush_have(std::uint32_t node);
  void step(double ms);
  void move(double ms);
  void arrived(Transfer& transfer);
  Load load_of(const Node& node) const;
  std::shared_ptr<const PeerSnapshot> snapshot_for(std::uint32_t node) const;
  void peers_changed();
  std::uint32_t coordinator_of() const;

  const ClusterOptions options_;
  const Geometry geometry_;
  const Digest digest_;
  Make make_;
  Random random_;
  double now_ = 0;
  std::uint64_t order_ = 0;
  std::uint64_t revision_ = 1;
  std::priority_queue<Later, std::vector<Later>, std::greater<>> later_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Transfer*> flowing_;
  bool upstream_down_ = false;
  double upstream_bytes_ = 0;
  double moved_bytes_ = 0;
  std::uint64_t hedges_ = 0;
  std::uint64_t announces_ = 0;
  std::uint64_t busy_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace oxbow::p2p::test

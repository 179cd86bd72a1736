// The engine of a crowd: nodes with their strategies, the events between them, and what was counted. Internal to
// p2p/sim/crowd; run_crowd is the way in.
// Thread rule: one thread. Lifetime: one a run.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "p2p/coordinator.h"
#include "p2p/finger_owner.h"
#include "p2p/finger_passing.h"
#include "p2p/random.h"
#include "p2p/sim/crowd.h"
#include "p2p/sim/crowd/event_queue.h"
#include "p2p/sim/crowd/network.h"
#include "p2p/sim/crowd/rival.h"
#include "p2p/strategy.h"

namespace oxbow::p2p::sim {

class CrowdEngine final : public CrowdWorld {
 public:
  explicit CrowdEngine(const CrowdOptions& options);
  ~CrowdEngine() override;
  CrowdEngine(const CrowdEngine&) = delete;
  CrowdEngine& operator=(const CrowdEngine&) = delete;

  CrowdResult run(Progress* progress);

  // What rivals may know
  std::uint32_t nodes() const override { return static_cast<std::uint32_t>(nodes_.size()); }
  std::uint32_t rack_nodes() const override { return options_.network.rack_nodes; }
  std::uint32_t row_nodes() const override { return options_.network.rack_nodes * options_.network.row_racks; }
  bool has(std::uint32_t node, std::uint32_t stripe) const override { return nodes_[node].have.has(stripe); }
  std::uint32_t uploading(std::uint32_t node) const override { return nodes_[node].serving; }
  bool alive(std::uint32_t node) const override { return nodes_[node].alive; }
  const std::vector<std::uint32_t>& started() const override { return started_; }
  const std::vector<std::uint32_t>& completed() const override { return completed_; }

 private:
  /// A fetch of a node; what moves of it is the network's flow of the same number.
  struct Transfer {
    enum class State : std::uint8_t { kAsked, kWaiting, kPassing, kFlowing };
    FetchId fetch = 0;
    FetchId hedge_of = 0;
    StripeRange stripes;
    std::uint32_t stripe = 0;  ///< that is arriving
    State state = State::kAsked;
    bool cancelled = false;
    Errc ends_with = Errc::kCancelled;  ///< at its kEnded event
    Micros last_byte = 0;
    Micros served = 0;      ///< when its source began
    std::int64_t rest = 0;  ///< bytes of the stripe after the next milestone
  };
  /// The rest of a transfer where requests go along paths.
  struct Passage {
    struct Waiter {
      FlowId flow = kNoFlow;
      bool joined = false;  ///< it was under way for another
      bool over = false;    ///< and had been given up
    };
    struct Answer {
      std::optional<Errc> why = std::nullopt;
      bool lease = false;
      bool again = false;  ///< the hop is asked again
    };
    std::optional<Along> along;  ///< of the request; none: the asked node gives what it has
    bool forward = false;        ///< for another node, outside the strategy
    bool lease = false;          ///< it ends with the lease
    PeerId holder = kNoPeer;     ///< who was given it, where its own node is the owner
    Micros head_until = -1;      ///< who has asked gives up, if no answer has begun
    // At the asked node, while the state is kPassing:
    PeerId next = kNoPeer;
    std::optional<Along> onward;  ///< what `next` is asked with; none: this is the path's end
    Micros until = 0;
    Micros hop_until = 0;
    std::uint32_t attempts = 0;  ///< of the owner
    FlowId waits_for = kNoFlow;
    std::optional<Answer> answer;  ///< of `waits_for`
    // At the node that gets it:
    std::vector<Waiter> waiters;  ///< requests that it will answer
  };
  struct Node {
    std::unique_ptr<Strategy> strategy;
    std::unique_ptr<Coordinator> coordinator;
    std::unique_ptr<FingerOwner> owner;
    std::shared_ptr<const PeerSnapshot> view;
    HaveMap have;
    std::vector<FlowId> fetches;
    std::vector<FlowId> waiting;  ///< requests of others for an upload slot
    std::vector<std::uint32_t> watchers;
    std::vector<std::uint32_t> relayed;     ///< stripes that it gets because others wait here for them
    std::vector<StripeNews> fresh;          ///< not told to the watchers yet
    std::vector<std::uint32_t> forwarding;  ///< stripes that come for other nodes, outside the strategy,
    std::vector<std::uint32_t> forwarded;   ///< and have come; the strategy is not told yet
    Load told_load;
    std::uint32_t serving = 0;
    std::uint32_t position = 0;  ///< stripes that the reader has taken
    std::uint32_t told_slots = 0;
    std::uint32_t from_upstream = 0;  ///< of its fetches
    Micros started = -1;
    Micros finished = -1;
    Micros timer = -1;
    Micros timer_queued = -1;
    Micros line_at = -1'000'000;
    bool wants = false;
    bool alive = true;
    bool slow = false;
    bool opened = false;  ///< its reader has taken the first MiB: the window is wide
    bool window_changed = true;
    bool line_queued = false;
  };
  /// What have streams have brought to a node and its strategy has not been told. Apart from the node, because of all
  /// that moves news are the most.
  struct Mail {
    std::vector<StripeNews> news;
    bool waits = false;  ///< the strategy has room: it is woken
    bool wake_queued = false;
  };
  struct Message {
    std::uint32_t from = 0;
    std::uint32_t to = 0;
    QuestionId question = 0;
    Announce announce;
    Result<AnnounceReply> reply = AnnounceReply();
  };

  // engine.cc: who there is, and the loop
  void make_peers();
  void choose_roles();
  void give_all(std::uint32_t node);
  void handle(const CrowdEvent& event);
  void fetch_ahead() const;
  bool done() const noexcept { return left_ == 0; }
  void start(std::uint32_t node);
  void fire_timer(std::uint32_t node);
  void tick();
  void die();
  CrowdResult result() const;

  // engine_node.cc: a node and its strategy
  std::unique_ptr<Strategy> make_strategy_of(std::uint32_t node);
  /// Tells the strategy what is in `events_`, and whatever else there is to tell; carries its actions out.
  void consult(std::uint32_t node);
  void tell_window(std::uint32_t node);
  void apply(std::uint32_t node, std::vector<Action>& actions);
  void relay(std::uint32_t node, std::uint32_t stripe);
  void finish(std::uint32_t node);
  void send(std::uint32_t node, Send message);
  void deliver(std::uint32_t message);
  void reply(std::uint32_t message);
  const PeerSnapshot& view_of(std::uint32_t node);

  // engine_transfers.cc: stripes on their way
  FlowId new_transfer(std::uint32_t from, std::uint32_t to, StripeRange stripes);
  void start_fetch(std::uint32_t node, Fetch fetch);
  void check_unassigned(const Node& node, const Fetch& fetch, std::uint32_t stripe) const;
  void request(FlowId id);
  FlowId arriving_at(std::uint32_t node, std::uint32_t stripe) const;
  void serve(FlowId id, FlowId feeder);
  void serve_next(std::uint32_t node);
  bool is_its_turn(std::uint32_t node, std::uint32_t stripe) const;
  bool may_serve(std::uint32_t node, std::uint32_t stripe) const;
  void turn_away(FlowId id);
  void refuse(FlowId id, Errc code);
  void slot_wait_over(FlowId id);
  std::int64_t first_part(std::uint32_t node, std::uint32_t stripe, std::int64_t bytes) const;
  void milestone(FlowId id);
  void end_fetch(FlowId id, Result<> outcome);
  std::int64_t bytes_of(std::uint32_t stripe) const;

  // engine_paths.cc: requests that are passed on
  FingerOwner& owner_at(std::uint32_t node);
  std::optional<Errc> take_own_turn(std::uint32_t node, Fetch& fetch, Passage& passage);
  std::optional<Errc> set_out(std::uint32_t node, Fetch& fetch, Passage& passage);
  void request_along(FlowId id);
  void take_slot(FlowId id);
  void pass_on(FlowId id);
  void act_as_owner(FlowId id);
  FlowId coming_to(std::uint32_t node, std::uint32_t stripe) const;
  StripeComing as_coming(FlowId id) const;
  void ask_hop(FlowId id);
  FlowId forward(FlowId asker);
  void hop_over(FlowId id, std::optional<Errc> why, bool lease);
  void refuse_passing(FlowId id, Errc why, bool lease);
  void give_up(FlowId id);
  void heard(FlowId id);
  void answer_waiter(FlowId id, Passage::Answer answer);
  void stop_waiting(FlowId id);
  void look_at_path(FlowId id);
  void leave_path(FlowId id, Result<>& outcome);
  void drop_stalled_forwards(std::uint32_t node);
  void wake(std::uint32_t node);
  void check_paths() const;

  // engine_news.cc: have streams
  Load load_of(const Node& node) const;
  StripeNews load_news(std::uint32_t node) const;
  void news(std::uint32_t node, std::uint32_t stripe, StripeNews::What what);
  void tell_line(std::uint32_t node);
  void watch(std::uint32_t node, std::uint32_t target);
  void unwatch(std::uint32_t node, std::uint32_t target);

  Time time() const noexcept { return Time(kEpochMs + now_ / 1000); }
  Transfer& transfer(FlowId id) { return transfers_[id]; }
  static constexpr std::int64_t kEpochMs = 100'000;  ///< the strategies' clocks at the start of the run

  const CrowdOptions options_;
  const Geometry geometry_;
  const Digest digest_;
  Random random_;
  EventQueue queue_;
  Network network_;
  const bool waits_;           ///< a request waits at its source for what is not there
  const bool paths_;           ///< requests are passed on along paths
  const std::uint32_t slots_;  ///< of a node, for uploads
  Micros now_ = 0;
  std::shared_ptr<const PeerSnapshot> common_;
  std::vector<Node> nodes_;
  std::vector<Mail> mail_;           ///< by node
  std::vector<Transfer> transfers_;  ///< by flow
  std::vector<Passage> passages_;    ///< by flow, if `paths_`
  std::vector<Message> messages_;
  std::vector<std::uint32_t> free_messages_;
  std::vector<std::uint32_t> started_;
  std::vector<std::uint32_t> completed_;
  std::vector<std::uint32_t> coordinators_;  ///< nodes that have one
  std::vector<Event> events_;                ///< for the next `consult`
  std::vector<Action> actions_;              ///< reused
  std::uint32_t left_ = 0;                   ///< nodes that want the blob and are not complete
  std::uint32_t died_ = 0;
  std::uint64_t busy_ = 0;
  std::uint64_t hedges_ = 0;
  std::uint64_t announces_ = 0;
  std::uint64_t news_ = 0;
};

}  // namespace oxbow::p2p::sim

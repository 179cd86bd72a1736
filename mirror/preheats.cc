#include "mirror/preheats.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <random>

#include "core/log.h"

namespace oxbow::mirror {
namespace {

using NodeState = Preheats::NodeState;
using What = p2p::PeerClient::PreheatCall::What;
using std::chrono::milliseconds;

/// How soon a worker without a node that is due looks again, and a cancelled one notices.
constexpr milliseconds kLookEvery{500};

std::string new_id() {
  std::random_device random;
  return fmt::format("{:08x}{:04x}", random(), random() & 0xffffU);
}

bool is_over(NodeState state) noexcept { return state >= NodeState::kDone; }

NodeState node_state(p2p::PreheatState state) noexcept {
  switch (state) {
    case p2p::PreheatState::kWaiting:
      return NodeState::kWaiting;
    case p2p::PreheatState::kRunning:
      return NodeState::kRunning;
    case p2p::PreheatState::kDone:
      return NodeState::kDone;
    case p2p::PreheatState::kFailed:
      return NodeState::kFailed;
    case p2p::PreheatState::kCancelled:
      return NodeState::kCancelled;
  }
  std::unreachable();
}

}  // namespace

std::string_view to_string(Preheats::NodeState state) noexcept {
  switch (state) {
    case NodeState::kWaiting:
      return "waiting";
    case NodeState::kRunning:
      return "running";
    case NodeState::kUnreachable:
      return "unreachable";
    case NodeState::kDone:
      return "done";
    case NodeState::kFailed:
      return "failed";
    case NodeState::kCancelled:
      return "cancelled";
  }
  std::unreachable();
}

Result<NodeChoice> parse_node_share(std::string_view text) {
  if (text == "all") return NodeChoice::all();
  std::uint32_t percent = 0;
  if (text.ends_with('%')) {
    const auto* end = text.data() + text.size() - 1;
    const auto [at, error] = std::from_chars(text.data(), end, percent);
    if (error == std::errc() && at == end && percent >= 1 && percent <= 100)
      return NodeChoice{.percent = percent, .names = {}};
  }
  return fail(Errc::kInvalid, "nodes: \"all\", a share from \"1%\" to \"100%\", or a list of names is wanted");
}

Result<std::vector<std::string>> choose_nodes(const p2p::PeerSnapshot& peers, const NodeChoice& choice,
                                              const Digest& digest) {
  std::vector<std::string> names;
  if (!choice.percent) {
    for (const auto& name : choice.names) {
      if (peers.find(name) == nullptr)
        return fail(Errc::kNotFound, fmt::format("{} is no node of this cluster; oxbow peers lists them", name));
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    return names;
  }
  const auto members = peers.peers().size();
  const auto count = std::max<std::size_t>(1, (members * *choice.percent + 99) / 100);
  if (members == 0) return fail(Errc::kNotFound, "this cluster has no nodes yet");
  // Revoked ones stand aside; those that are silent now may come back, and an error names them.
  const auto order = peers.ring().walk(p2p::key_of(digest), count, [&](std::uint32_t index) {
    return peers.peers()[index].state != p2p::PeerState::kRevoked;
  });
  for (const auto index : order) names.push_back(peers.peers()[index].member.name);
  return names;
}

/// One of them. Its coroutines hold it and nothing else.
struct Preheats::Preheat {
  struct Turn {
    Clock::Steady not_before{};
    std::optional<Clock::Steady> unreachable_since = {};
    bool taken = false;
  };

  Limits limits;
  Parts parts;
  std::string id;
  Request request;
  std::chrono::system_clock::time_point started;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> closed = false;

  mutable std::mutex mutex;  ///< the rest
  std::vector<Node> nodes;
  std::vector<Turn> turns;
  std::size_t open = 0;   ///< nodes that are not over
  std::size_t first = 0;  ///< all before it are over
  std::optional<std::chrono::system_clock::time_point> ended;

  Preheat(Limits given, Parts joined, Request asked)
      : limits(given), parts(std::move(joined)), request(std::move(asked)) {}

  /// A node whose turn it is; nothing: none is due.
  std::optional<std::size_t> take() {
    const std::lock_guard lock(mutex);
    const auto now = parts.clock.steady();
    while (first < nodes.size() && is_over(nodes[first].state)) ++first;
    for (auto i = first; i < nodes.size(); ++i) {
      if (is_over(nodes[i].state) || turns[i].taken || turns[i].not_before > now) continue;
      turns[i].taken = true;
      return i;
    }
    return std::nullopt;
  }
  bool over() const {
    const std::lock_guard lock(mutex);
    return open == 0;
  }
  void set(std::size_t index, NodeState state, std::string error) {
    const std::lock_guard lock(mutex);
    put(index, state, std::move(error));
  }
  void take_report(std::size_t index, const p2p::PreheatReport& report) {
    const std::lock_guard lock(mutex);
    auto& node = nodes[index];
    node.bytes_done = report.bytes_done;
    node.bytes_total = report.bytes_total;
    turns[index].unreachable_since.reset();
    put(index, node_state(report.state), report.error);
  }
  /// Its turn comes again, unless patience is at its end.
  void later(std::size_t index, const Error& error, bool reached) {
    const std::lock_guard lock(mutex);
    const auto now = parts.clock.steady();
    auto& turn = turns[index];
    turn.taken = false;
    turn.not_before = now + limits.ask_again;
    if (reached) {
      turn.unreachable_since.reset();
      return put(index, NodeState::kWaiting, error.what());
    }
    if (!turn.unreachable_since) turn.unreachable_since = now;
    const bool given_up = now - *turn.unreachable_since >= limits.patience;
    put(index, given_up ? NodeState::kFailed : NodeState::kUnreachable, error.what());
  }
  void cancel_open() {
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (!is_over(nodes[i].state) && !turns[i].taken) put(i, NodeState::kCancelled, {});
    }
  }

 private:
  void put(std::size_t index, NodeState state, std::string error) {
    auto& node = nodes[index];
    if (is_over(node.state)) return;
    node.state = state;
    node.error = std::move(error);
    if (is_over(state) && --open == 0) ended = parts.clock.wall();
  }
};

Preheats::Preheats(Limits limits, Parts parts)
    : limits_(limits), parts_(std::move(parts)), kept_hits_(limit_counter(parts_.metrics, "preheats_kept")) {}

Preheats::~Preheats() = default;

Result<std::string> Preheats::start(Request request) {
  auto names = choose_nodes(*parts_.peers(), request.nodes, request.digest);
  if (!names) return std::unexpected(std::move(names.error()));
  auto preheat = std::make_shared<Preheat>(limits_, parts_, std::move(request));
  preheat->id = new_id();
  preheat->started = parts_.clock.wall();
  for (auto& name : *names) preheat->nodes.push_back({.name = std::move(name)});
  preheat->turns.resize(preheat->nodes.size());
  preheat->open = preheat->nodes.size();
  Loop* loop = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return fail(Errc::kUnavailable, "the daemon is going away");
    if (preheats_.size() >= limits_.kept) {
      const auto oldest = std::ranges::find_if(preheats_, [](const auto& one) { return one->over(); });
      if (oldest == preheats_.end()) {
        kept_hits_.Increment();
        return fail(Errc::kLimit, fmt::format("{} preheats run already; wait for one, or cancel it", limits_.kept));
      }
      preheats_.erase(oldest);
    }
    preheats_.push_back(preheat);
    loop = &parts_.loops.at(next_loop_++ % parts_.loops.size());
  }
  log::info("preheat begun", {{"id", preheat->id},
                              {"image", preheat->request.image},
                              {"digest", preheat->request.digest.to_string()},
                              {"nodes", preheat->nodes.size()}});
  const auto workers = std::min(limits_.at_once, preheat->nodes.size());
  asio::post(*loop, [loop, preheat, workers] {
    for (std::size_t i = 0; i < workers; ++i) asio::co_spawn(*loop, work(preheat), asio::detached);
  });
  return preheat->id;
}

Task<> Preheats::work(std::shared_ptr<Preheat> preheat) {
  while (!preheat->closed && !preheat->over()) {
    if (preheat->cancelled) preheat->cancel_open();
    if (const auto index = preheat->take())
      co_await run_node(preheat, *index);
    else
      co_await sleep_for(kLookEvery);
  }
}

Task<Result<p2p::PreheatReport>> Preheats::call(std::shared_ptr<Preheat> preheat, std::string name, What what) {
  const auto& request = preheat->request;
  const p2p::PreheatAsk ask{.id = preheat->id,
                            .registry = request.registry,
                            .repository = request.repository,
                            .digest = request.digest,
                            .platform = request.platform};
  const auto& parts = preheat->parts;
  if (name == parts.own_name) {
    co_return what == What::kStart ? parts.own.start(name, ask)
    : what == What::kReport        ? parts.own.report(ask.id)
                                   : parts.own.cancel(ask.id);
  }
  const auto peers = parts.peers();
  const auto* peer = peers->find(name);
  if (peer == nullptr) co_return fail(Errc::kUnavailable, "the node has left the cluster");
  if (peer->state == p2p::PeerState::kRevoked) co_return fail(Errc::kDenied, "the node's identity was revoked");
  auto report = co_await parts.ask(peer->id, {.what = what, .ask = ask}, preheat->limits.timeout);
  if (!report && what == What::kStart && report.error().code() == Errc::kNotFound)
    co_return fail(Errc::kUnsupported, "the node is of a version without preheats");
  co_return report;
}

/// Until it is over there, or cannot be reached: then others have its place meanwhile.
Task<> Preheats::run_node(std::shared_ptr<Preheat> preheat, std::size_t index) {
  const auto name = preheat->nodes[index].name;  // names do not change
  auto report = co_await call(preheat, name, What::kStart);
  for (;;) {
    if (!report) {
      const auto code = report.error().code();
      const bool is_final = code == Errc::kUnsupported || code == Errc::kDenied || code == Errc::kInvalid;
      if (is_final)
        preheat->set(index, NodeState::kFailed, report.error().what());
      else
        preheat->later(index, report.error(), code == Errc::kBusy);
      co_return;
    }
    preheat->take_report(index, *report);
    if (p2p::is_over(report->state)) co_return;
    const auto until = preheat->parts.clock.steady() + preheat->limits.follow_every;
    while (!preheat->closed && !preheat->cancelled && preheat->parts.clock.steady() < until)
      co_await sleep_for(std::min(kLookEvery, preheat->limits.follow_every));
    if (preheat->closed) co_return;
    if (preheat->cancelled) {
      // Whatever it answers: this preheat is over, and the node has heard of it or will end by itself.
      (void)co_await call(preheat, name, What::kCancel);
      preheat->set(index, NodeState::kCancelled, {});
      co_return;
    }
    report = co_await call(preheat, name, What::kReport);
    // Restarted, it has forgotten: what is on its disk is not fetched again.
    if (!report && report.error().code() == Errc::kNotFound) report = co_await call(preheat, name, What::kStart);
  }
}

std::shared_ptr<Preheats::Preheat> Preheats::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(preheats_, [&](const auto& one) { return one->id == id; });
  return found == preheats_.end() ? nullptr : *found;
}

namespace {

template <typename Preheat>
Preheats::View view_of(const Preheat& preheat) {
  const std::lock_guard lock(preheat.mutex);
  const auto any = [&](NodeState state) {
    return std::ranges::any_of(preheat.nodes, [&](const auto& node) { return node.state == state; });
  };
  const auto* state = preheat.open > 0             ? "running"
                      : any(NodeState::kCancelled) ? "cancelled"
                      : any(NodeState::kFailed)    ? "failed"
                                                   : "done";
  return {.id = preheat.id,
          .image = preheat.request.image,
          .digest = preheat.request.digest.to_string(),
          .platform = preheat.request.platform,
          .state = state,
          .started = preheat.started,
          .ended = preheat.ended,
          .nodes = preheat.nodes};
}

}  // namespace

std::vector<Preheats::View> Preheats::all() const {
  std::vector<std::shared_ptr<Preheat>> preheats;
  {
    const std::lock_guard lock(mutex_);
    preheats.assign(preheats_.rbegin(), preheats_.rend());
  }
  std::vector<View> views;
  for (const auto& one : preheats) views.push_back(view_of(*one));
  return views;
}

Result<Preheats::View> Preheats::one(std::string_view id) const {
  const auto preheat = find(id);
  if (!preheat) return fail(Errc::kNotFound, "no such preheat since the daemon's start");
  return view_of(*preheat);
}

Result<Preheats::View> Preheats::cancel(std::string_view id) {
  const auto preheat = find(id);
  if (!preheat) return fail(Errc::kNotFound, "no such preheat since the daemon's start");
  preheat->cancelled = true;
  preheat->cancel_open();
  log::info("preheat cancelled", {{"id", preheat->id}});
  return view_of(*preheat);
}

void Preheats::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (const auto& one : preheats_) one->closed = true;
}

}  // namespace oxbow::mirror

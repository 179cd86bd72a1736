#include "p2p/sim/crowd/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace oxbow::p2p::sim {
namespace {

constexpr Micros kMinute = 60'000'000;

/// The smallest value that so large a share of all does not exceed.
double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

}  // namespace

double crowd_bound_seconds(const CrowdOptions& options) {
  const auto bytes = static_cast<double>(options.blob_bytes);
  const auto link = static_cast<double>(std::min(options.network.up, options.network.down));
  const auto wanting = static_cast<std::uint64_t>(options.network.nodes * options.demand * (1 - options.warm));
  // ceil(log2(N + 1)) is how many bits N has.
  const auto rounds = static_cast<double>(std::bit_width(std::max<std::uint64_t>(wanting, 1)));
  const auto first =
      std::max(bytes / link, options.warm > 0 ? 0 : bytes / static_cast<double>(options.network.upstream));
  return first + bytes / (Geometry(options.blob_bytes).stripes() * link) * (rounds - 1);
}

CrowdResult run_crowd(const CrowdOptions& options, Progress* progress) { return CrowdEngine(options).run(progress); }

CrowdEngine::CrowdEngine(const CrowdOptions& options)
    : options_(options),
      geometry_(options.blob_bytes),
      digest_(Digest::sha256(fmt::format("blob {}", options.seed))),
      random_(options.seed),
      network_(options_.network, queue_),
      waits_(waits_at_source(options.policy)),
      paths_(options.policy == CrowdPolicy::kFingers),
      slots_(slots_of(options.policy) > 0 ? slots_of(options.policy) : options.upload_slots),
      nodes_(options.network.nodes),
      mail_(options.network.nodes) {
  make_peers();
  choose_roles();
}

CrowdEngine::~CrowdEngine() = default;

void CrowdEngine::make_peers() {
  std::vector<Peer> peers(nodes_.size());
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    peers[i].id = i + 1;
    peers[i].member.name = fmt::format("node-{}", i);
    peers[i].member.location = {"zone", fmt::format("row-{}", network_.row_of(i)),
                                fmt::format("rack-{}", network_.rack_of(i))};
    peers[i].vetted = true;
  }
  common_ = std::make_shared<const PeerSnapshot>(std::move(peers), 1);
}

/// Who wants the blob, who has it, who is slow, when each starts, and when somebody dies.
void CrowdEngine::choose_roles() {
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  std::vector<std::uint32_t> order(count);
  for (std::uint32_t i = 0; i < count; ++i) order[i] = i;
  for (std::uint32_t i = count; i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  const auto share = [&](double part) { return static_cast<std::uint32_t>(count * part + 0.5); };
  for (auto& node : nodes_) node.have = HaveMap(geometry_.stripes());
  const auto warm = share(options_.warm);
  const auto wanting = std::max(std::min(share(options_.demand), count - warm), 1U);
  for (std::uint32_t i = 0; i < warm; ++i) {
    give_all(order[i]);
    completed_.push_back(order[i]);
  }
  for (std::uint32_t i = warm; i < warm + wanting; ++i) {
    nodes_[order[i]].wants = true;
    const auto at = static_cast<Micros>(random_.uniform() * static_cast<double>(options_.apart));
    queue_.push(at, CrowdEvent::Kind::kStart, order[i]);
  }
  left_ = wanting;
  for (std::uint32_t i = 0; i < share(options_.slow); ++i) {
    const auto slow = random_.below(count);
    nodes_[slow].slow = true;
    network_.set_up(slow, options_.network.up / 10);
    if (options_.slow_both) network_.set_down(slow, options_.network.down / 10);
  }
  if (options_.deaths_a_minute > 0) queue_.push(0, CrowdEvent::Kind::kDeath, 0);
  queue_.push(0, CrowdEvent::Kind::kLinks, 0);
  queue_.push(1'000'000, CrowdEvent::Kind::kTick, 0);
}

/// It has the blob and has announced it.
void CrowdEngine::give_all(std::uint32_t index) {
  nodes_[index].have = HaveMap(geometry_.stripes(), true);
  Announce announce;
  announce.digest = digest_;
  announce.size = geometry_.blob_bytes();
  announce.interest = Interest::kHolding;
  announce.have = nodes_[index].have;
  const auto ranked = common_->ranked(key_of(digest_), options_.replicas);
  const auto owner = ranked.front() - 1;
  auto& coordinator = nodes_[owner].coordinator;
  if (coordinator == nullptr) {
    coordinator = std::make_unique<Coordinator>(options_.coordinator, random_.next(), Time(0));
    coordinators_.push_back(owner);
  }
  coordinator->on_announce(time(), index + 1, announce, view_of(owner));
}

CrowdResult CrowdEngine::run(Progress* progress) {
  constexpr std::uint64_t kLook = 65'536;
  std::uint32_t shown = left_;
  for (std::uint64_t events = 1; !done() && !queue_.empty(); ++events) {
    const auto event = queue_.pop();
    if (event.at > options_.limit) break;
    now_ = event.at;
    fetch_ahead();
    handle(event);
    if (options_.check) network_.check();
    if (options_.check && paths_) check_paths();
    if (progress == nullptr || events % kLook != 0) continue;
    progress->add(shown - left_);
    shown = left_;
    if (progress->cancelled()) break;
  }
  return result();
}

/// Nearly all of the time goes into waiting for memory: a node, its strategy and its flows lie anywhere in gigabytes.
/// What the next events need is asked for while this one is handled, a step farther along their pointers each time.
void CrowdEngine::fetch_ahead() const {
  using Kind = CrowdEvent::Kind;
  constexpr std::size_t kFar = 12;
  constexpr std::size_t kMiddle = 8;
  constexpr std::size_t kNear = 4;
  constexpr std::size_t kLine = 64;
  const auto lines = [](const void* begin, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(static_cast<const char*>(begin) + at);
  };
  const auto of_flow = [](Kind kind) {
    return kind == Kind::kRequest || kind == Kind::kMilestone || kind == Kind::kSlotWait || kind == Kind::kEnded ||
           kind == Kind::kPath;
  };
  const auto of_node = [](Kind kind) {
    return kind == Kind::kTimer || kind == Kind::kWake || kind == Kind::kLine || kind == Kind::kWatch;
  };
  if (const auto* far = queue_.ahead(kFar); far != nullptr) {
    if (of_flow(far->kind)) {
      lines(&network_.flow(far->a), sizeof(Network::Flow));
      lines(&transfers_[far->a], sizeof(Transfer));
    } else if (of_node(far->kind)) {
      lines(&nodes_[far->a], sizeof(Node));
      lines(&mail_[far->a], sizeof(Mail));
    }
  }
  const auto node_of = [&](const CrowdEvent& event) -> std::optional<std::uint32_t> {
    if (of_node(event.kind)) return event.a;
    if (!of_flow(event.kind) || network_.flow(event.a).generation != event.b) return std::nullopt;
    return event.kind == Kind::kRequest || event.kind == Kind::kSlotWait ? network_.flow(event.a).from
                                                                         : network_.flow(event.a).to;
  };
  if (const auto* middle = queue_.ahead(kMiddle); middle != nullptr && of_flow(middle->kind)) {
    if (const auto node = node_of(*middle); node && *node < nodes_.size()) {
      lines(&nodes_[*node], sizeof(Node));
      lines(&mail_[*node], sizeof(Mail));
    }
  }
  if (const auto* near = queue_.ahead(kNear); near != nullptr) {
    const auto node = node_of(*near);
    if (!node || *node >= nodes_.size()) return;
    const auto& one = nodes_[*node];
    if (one.strategy != nullptr) lines(one.strategy.get(), sizeof(Swarm));
    lines(mail_[*node].news.data(), mail_[*node].news.size() * sizeof(StripeNews));
    lines(one.fetches.data(), one.fetches.size() * sizeof(FlowId));
  }
}

void CrowdEngine::handle(const CrowdEvent& event) {
  using Kind = CrowdEvent::Kind;
  const auto of_flow = [&](auto&& what) {
    if (network_.flow(event.a).generation == event.b) what();
  };
  switch (event.kind) {
    case Kind::kStart:
      return start(event.a);
    case Kind::kTimer:
      return fire_timer(event.a);
    case Kind::kWake:
      mail_[event.a].wake_queued = false;
      return consult(event.a);
    case Kind::kRequest:
      return of_flow([&] { request(event.a); });
    case Kind::kMilestone:
      return of_flow([&] { milestone(event.a); });
    case Kind::kSlotWait:
      return of_flow([&] { slot_wait_over(event.a); });
    case Kind::kEnded:
      return of_flow([&] { end_fetch(event.a, fail(transfers_[event.a].ends_with, "ended")); });
    case Kind::kLine:
      return tell_line(event.a);
    case Kind::kWatch:
      return watch(event.a, event.b);
    case Kind::kMessage:
      return deliver(event.a);
    case Kind::kReply:
      return reply(event.a);
    case Kind::kLinks:
      return queue_.push(network_.share_links(now_), Kind::kLinks, 0);
    case Kind::kTick:
      tick();
      return queue_.push(now_ + 1'000'000, Kind::kTick, 0);
    case Kind::kDeath:
      return die();
    case Kind::kPath:
      return of_flow([&] { look_at_path(event.a); });
  }
}

void CrowdEngine::start(std::uint32_t index) {
  auto& node = nodes_[index];
  if (!node.alive) return;
  node.started = now_;
  node.window_changed = true;
  started_.push_back(index);
  if (node.strategy == nullptr) node.strategy = make_strategy_of(index);
  view_of(index);
  events_.emplace_back(PeersChanged{node.view});
  consult(index);
}

void CrowdEngine::fire_timer(std::uint32_t index) {
  auto& node = nodes_[index];
  if (node.timer_queued == now_) node.timer_queued = -1;
  if (node.timer < 0 || node.strategy == nullptr || !node.alive) return;
  if (node.timer > now_) {
    if (node.timer_queued >= 0 && node.timer_queued <= node.timer) return;
    node.timer_queued = node.timer;
    return queue_.push(node.timer, CrowdEvent::Kind::kTimer, index);
  }
  node.timer = -1;
  TimerFired fired;
  fired.progress.reserve(node.fetches.size());
  if (paths_) drop_stalled_forwards(index);
  for (const auto id : node.fetches) {
    if (paths_ && passages_[id].forward) continue;
    network_.bring_up_to_date(now_, id);
    const auto& flow = network_.flow(id);
    if (flow.rate > 0) transfers_[id].last_byte = now_;
    fired.progress.push_back({transfers_[id].fetch, static_cast<std::uint64_t>(flow.moved),
                              std::chrono::milliseconds((now_ - transfers_[id].last_byte) / 1000)});
  }
  events_.emplace_back(std::move(fired));
  consult(index);
}

void CrowdEngine::tick() {
  for (const auto index : coordinators_) {
    if (nodes_[index].alive) nodes_[index].coordinator->tick(time(), view_of(index));
  }
}

/// One that lives, wherever it is in its pull: its machine is gone, and nobody is told.
void CrowdEngine::die() {
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  const auto every = static_cast<Micros>(static_cast<double>(kMinute) / (count * options_.deaths_a_minute));
  queue_.push(now_ + std::max<Micros>(every, 1), CrowdEvent::Kind::kDeath, 0);
  if (now_ == 0 || died_ >= count / 2) return;
  auto victim = random_.below(count);
  while (!nodes_[victim].alive) victim = random_.below(count);
  auto& node = nodes_[victim];
  node.alive = false;
  ++died_;
  if (node.wants && node.finished < 0) --left_;
  network_.stall_sender(now_, victim);
  for (const auto id : node.waiting) transfers_[id].state = Transfer::State::kAsked;
  node.waiting.clear();
  while (!node.fetches.empty()) end_fetch(node.fetches.back(), fail(Errc::kCancelled, "died"));
}

CrowdResult CrowdEngine::result() const {
  CrowdResult result;
  result.bound_seconds = crowd_bound_seconds(options_);
  std::vector<double> all;
  std::vector<double> fast;
  Micros first = options_.limit;
  Micros last = 0;
  double needed = 0;
  double sent = 0;
  double most = 0;
  std::uint32_t took_part = 0;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    const auto& node = nodes_[i];
    if (node.wants || node.have.complete() || network_.uploaded(i) > 0) {
      ++took_part;
      sent += static_cast<double>(network_.uploaded(i));
      most = std::max(most, static_cast<double>(network_.uploaded(i)));
    }
    if (!node.wants) continue;
    needed += static_cast<double>(node.have.count()) * static_cast<double>(geometry_.stripe_bytes());
    if (!node.alive) continue;
    ++result.wanted;
    if (node.finished < 0) continue;
    ++result.completed;
    first = std::min(first, node.started);
    last = std::max(last, node.finished);
    const auto over = static_cast<double>(node.finished - node.started) / 1e6 / result.bound_seconds;
    all.push_back(over);
    if (!node.slow) fast.push_back(over);
  }
  // Work is conserved: what arrived is no more than what was sent.
  const auto given =
      static_cast<double>(completed_.size() - result.completed) * static_cast<double>(geometry_.blob_bytes());
  OXBOW_INVARIANT(options_.warm > 0 ||
                  needed <= given + static_cast<double>(network_.counts().upstream + network_.counts().peers()) + 1);
  result.died = died_;
  result.p50 = percentile(all, 0.5);
  result.p99 = percentile(all, 0.99);
  result.max = percentile(all, 1);
  result.p99_fast = percentile(fast, 0.99);
  result.max_fast = percentile(fast, 1);
  result.makespan = static_cast<double>(last - first) / 1e6 / result.bound_seconds;
  const auto& counts = network_.counts();
  const auto peers = static_cast<double>(std::max<std::int64_t>(counts.peers(), 1));
  result.upstream = static_cast<double>(counts.upstream) / static_cast<double>(geometry_.blob_bytes());
  result.moved = static_cast<double>(counts.upstream + counts.peers()) / std::max(needed, 1.0);
  result.upload_max = sent > 0 ? most * took_part / sent : 0;
  result.cross_rack = static_cast<double>(counts.by_tier[1] + counts.by_tier[2]) / peers;
  result.cross_row = static_cast<double>(counts.by_tier[2]) / peers;
  double out = 0;
  double out_most = 0;
  for (const auto bytes : network_.rack_out()) {
    out += static_cast<double>(bytes);
    out_most = std::max(out_most, static_cast<double>(bytes));
  }
  result.uplink_max = out > 0 ? out_most * static_cast<double>(network_.rack_out().size()) / out : 0;
  result.events = queue_.pushed();
  result.busy = busy_;
  result.hedges = hedges_;
  result.announces = announces_;
  result.news = news_;
  return result;
}

}  // namespace oxbow::p2p::sim

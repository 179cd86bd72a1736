#include "cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "node.h"

namespace oxbow::p2p::test {

Cluster::Cluster(ClusterOptions options, Make make)
    : options_(options),
      geometry_(options.blob_bytes),
      digest_(Digest::sha256(fmt::format("blob {}", options.seed))),
      make_(std::move(make)),
      random_(options.seed) {
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    auto node = std::make_unique<Node>();
    node->index = i;
    node->have = HaveMap(geometry_.stripes());
    node->up = options_.up;
    node->down = options_.down;
    node->coordinator = std::make_unique<Coordinator>(CoordinatorOptions{}, random_.next(), Time(-60'000));
    nodes_.push_back(std::move(node));
  }
  for (std::uint32_t i = 0; i < options_.nodes; ++i) nodes_[i]->peers = snapshot_for(i);
}

Cluster::~Cluster() = default;

std::shared_ptr<const PeerSnapshot> Cluster::snapshot_for(std::uint32_t node) const {
  std::vector<Peer> peers;
  const auto location = [this](std::uint32_t i) {
    std::vector<std::string> labels;
    if (options_.rack_size > 0) labels = {"zone", fmt::format("rack-{}", i / options_.rack_size)};
    return labels;
  };
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    const auto& other = *nodes_[i];
    if (!other.member && i != node) continue;
    Peer peer;
    peer.id = i + 1;
    peer.member.name = fmt::format("node-{}", i);
    peer.member.location = location(i);
    peer.self = i == node;
    peer.state = i == node ? PeerState::kEligible : other.state;
    peer.vetted = other.vetted;
    peer.near = shared_labels(location(node), location(i));
    peers.push_back(std::move(peer));
  }
  return std::make_shared<const PeerSnapshot>(std::move(peers), revision_);
}

void Cluster::peers_changed() {
  ++revision_;
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    nodes_[i]->peers = snapshot_for(i);
    tell(i, PeersChanged{nodes_[i]->peers});
    pump(i);
  }
}

void Cluster::set_member(std::uint32_t node, bool member) {
  nodes_[node]->member = member;
  peers_changed();
}

void Cluster::set_state(std::uint32_t node, PeerState state) {
  nodes_[node]->state = state;
  peers_changed();
}

void Cluster::set_vetted(std::uint32_t node, bool vetted) {
  nodes_[node]->vetted = vetted;
  peers_changed();
}

void Cluster::later(double delay_ms, std::function<void()> what) {
  later_.push({now_ + delay_ms, order_++, std::move(what)});
}
void Cluster::at(double ms, std::function<void()> what) { later_.push({ms, order_++, std::move(what)}); }
double Cluster::hop() { return options_.latency_ms * (0.75 + 0.5 * random_.uniform()); }

bool Cluster::reach(std::uint32_t from, std::uint32_t to) const {
  const auto& a = *nodes_[from];
  const auto& b = *nodes_[to];
  return a.alive && b.alive && !b.hung && !a.hung && a.group == b.group;
}

void Cluster::start(std::uint32_t node, double at_ms, bool may_fetch) {
  nodes_[node]->may_fetch = may_fetch;
  nodes_[node]->started = at_ms;
  at(at_ms, [this, node] { begin(node); });
}

void Cluster::start_all(double at_ms, double apart_ms) {
  for (std::uint32_t i = 0; i < options_.nodes; ++i) start(i, at_ms + i * apart_ms + 5 * random_.uniform());
}

void Cluster::give_all(std::uint32_t node) { give(node, HaveMap(geometry_.stripes(), true)); }

void Cluster::give(std::uint32_t node, const HaveMap& have) {
  nodes_[node]->have = have;
  Announce announce;
  announce.digest = digest_;
  announce.size = geometry_.blob_bytes();
  announce.interest = Interest::kHolding;
  announce.have = nodes_[node]->have;
  auto& coordinator = *nodes_[coordinator_of()]->coordinator;
  coordinator.on_announce(Time{0}, node + 1, announce, *nodes_[coordinator_of()]->peers);
}

void Cluster::empty(std::uint32_t node) { nodes_[node]->have = HaveMap(geometry_.stripes()); }

std::uint32_t Cluster::coordinator_of() const { return ranked().front(); }

std::vector<std::uint32_t> Cluster::ranked() const {
  std::vector<std::uint32_t> nodes;
  for (const auto id : nodes_[0]->peers->ranked(key_of(digest_), options_.replicas)) nodes.push_back(id - 1);
  return nodes;
}

void Cluster::begin(std::uint32_t index) {
  auto& node = *nodes_[index];
  if (!node.alive) return;
  node.strategy = make_({digest_, geometry_, node.have, random_.next(), options_.replicas});
  tell(index, PeersChanged{node.peers});
  pump(index);
}

void Cluster::tell(std::uint32_t index, const Event& event) {
  auto& node = *nodes_[index];
  if (node.strategy == nullptr || !node.alive || node.hung) return;
  apply(index, node.strategy->on_event(Time(static_cast<std::int64_t>(now_)), event));
}

std::vector<StripeRange> Cluster::window(const Node& node) const {
  std::vector<StripeRange> out;
  const auto taken = node.position * geometry_.stripe_bytes();
  std::uint32_t end = node.position + 1;
  if (taken >= 1024ULL * 1024) {
    end += taken < 64ULL * 1024 * 1024 ? 32 : 64;
    end = (end + kStripesPerSpan - 1) / kStripesPerSpan * kStripesPerSpan;
  }
  end = std::min(end, geometry_.stripes());
  for (auto stripe = node.position; stripe < end; ++stripe) {
    const auto* coming = node.have.has(stripe) ? nullptr : node.coming(stripe);
    if (node.have.has(stripe) || (coming != nullptr && coming->forward)) continue;
    if (!out.empty() && out.back().end == stripe)
      ++out.back().end;
    else
      out.push_back({stripe, stripe + 1});
  }
  return out;
}

void Cluster::pump(std::uint32_t index) {
  auto& node = *nodes_[index];
  if (node.in_pump || node.strategy == nullptr || !node.alive || node.hung) return;
  node.in_pump = true;
  while (node.position < geometry_.stripes() && node.have.has(node.position)) ++node.position;
  if (node.finished < 0 && node.have.complete()) {
    node.finished = now_;
    tell(index, WindowChanged{{}, false, node.may_fetch});
  }
  if (node.finished < 0) {
    auto wanted = window(node);
    const bool idle = wanted.empty();
    tell(index, WindowChanged{std::move(wanted), true, node.may_fetch});
    std::uint32_t upstream = 0;
    for (const auto& [id, transfer] : node.transfers) upstream += transfer->from < 0 ? 1 : 0;
    if (!idle && upstream < options_.upstream_slots)
      tell(index, SlotsFree{kUpstream, options_.upstream_slots - upstream});
  }
  node.in_pump = false;
}

void Cluster::apply(std::uint32_t index, std::vector<Action> actions) {
  auto& node = *nodes_[index];
  for (auto& action : actions) {
    if (const auto* fetch = std::get_if<Fetch>(&action)) {
      start_fetch(index, *fetch);
    } else if (const auto* cancel = std::get_if<CancelFetch>(&action)) {
      later(0, [this, index, id = cancel->id] { end_fetch(index, id, fail(Errc::kCancelled, "by the strategy")); });
    } else if (const auto* timer = std::get_if<SetTimer>(&action)) {
      node.timer = static_cast<double>(timer->at.count());
    } else if (const auto* message = std::get_if<Send>(&action)) {
      send(index, *message);
    } else if (const auto* watched = std::get_if<WatchHave>(&action)) {
      later(hop(), [this, index, target = watched->peer - 1] { watch(index, target); });
    } else if (const auto* unwatched = std::get_if<UnwatchHave>(&action)) {
      std::erase_if(nodes_[unwatched->peer - 1]->watchers, [&](const auto& one) { return one.node == index; });
    }
  }
}

void Cluster::send(std::uint32_t index, const Send& message) {
  ++announces_;
  const auto target = message.peer - 1;
  if (trace)
    fmt::print("{:8.1f} {} -> {} have {} ask {} leases {} released {} unreachable {}\n", now_, index, target,
               message.announce.have.count(), message.announce.ask.size(), message.announce.leases.size(),
               message.announce.released.size(), message.announce.unreachable.size());
  const double there = target == index ? 0 : hop();
  later(there, [this, index, target, announce = message.announce, question = message.question,
                quiet = static_cast<double>(message.quiet.count())] {
    auto& node = *nodes_[target];
    const auto no = [&](double delay, Errc code) {
      later(delay, [this, index, target, code, question] {
        tell(index, Replied{target + 1, fail(code, "no answer"), question});
        pump(index);
      });
    };
    if (!node.alive) return no(hop(), Errc::kUnavailable);
    if (!reach(index, target)) return no(quiet, Errc::kTimeout);
    auto reply = node.coordinator->on_announce(Time(static_cast<std::int64_t>(now_)), index + 1, announce, *node.peers);
    if (trace && !reply.granted.empty())
      fmt::print("{:8.1f}   granted to {}: {} lost {}\n", now_, index, reply.granted.size(), reply.lost.size());
    later(target == index ? 0 : hop(), [this, index, target, question, reply = std::move(reply)] {
      tell(index, Replied{target + 1, reply, question});
      pump(index);
    });
  });
}

bool Cluster::run(double limit_ms) {
  const auto done = [this] {
    return std::ranges::all_of(nodes_, [](const auto& node) {
      return node->started < 0 || !node->alive || node->hung || node->finished >= 0;
    });
  };
  double next_tick = 1'000;
  while (now_ < limit_ms && !done()) {
    step(options_.step_ms);
    if (now_ < next_tick) continue;
    next_tick += 1'000;
    for (auto& node : nodes_) {
      if (node->alive && !node->hung) node->coordinator->tick(Time(static_cast<std::int64_t>(now_)), *node->peers);
    }
  }
  return done();
}

void Cluster::step(double ms) {
  const double end = now_ + ms;
  while (!later_.empty() && later_.top().at <= end) {
    auto what = later_.top().what;
    now_ = std::max(now_, later_.top().at);
    later_.pop();
    what();
  }
  now_ = end;
  move(ms);
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    auto& node = *nodes_[i];
    if (node.timer < 0 || node.timer > now_ || !node.alive || node.hung) continue;
    node.timer = -1;
    TimerFired fired;
    for (const auto& [id, transfer] : node.transfers) {
      if (transfer->forward) continue;
      fired.progress.push_back({id, static_cast<std::uint64_t>(transfer->bytes),
                                std::chrono::milliseconds(static_cast<std::int64_t>(now_ - transfer->last_byte))});
    }
    tell(i, fired);
    pump(i);
  }
}

double Cluster::finished_ms(std::uint32_t node) const {
  return nodes_[node]->finished < 0 ? -1 : nodes_[node]->finished - nodes_[node]->started;
}

double Cluster::slowest_ms(const std::set<std::uint32_t>& except) const {
  double slowest = 0;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    if (!except.contains(i) && nodes_[i]->alive) slowest = std::max(slowest, finished_ms(i));
  }
  return slowest;
}

double Cluster::upstream_share() const { return upstream_bytes_ / static_cast<double>(geometry_.blob_bytes()); }

double Cluster::upstream_share(std::uint32_t node) const {
  return nodes_[node]->upstream_bytes / static_cast<double>(geometry_.blob_bytes());
}

double Cluster::moved_share() const {
  double needed = 0;
  for (const auto& node : nodes_) {
    if (node->started >= 0) needed += node->have.count() * static_cast<double>(geometry_.stripe_bytes());
  }
  return moved_bytes_ / needed;
}

std::uint32_t Cluster::coordinator() const { return coordinator_of(); }

std::uint32_t Cluster::stripes_given(std::uint32_t node) const { return nodes_[node]->given; }

int Cluster::lease_holder(int except) const {
  for (const auto& node : nodes_) {
    if (static_cast<int>(node->index) != except && node->alive && !node->arriving().empty())
      return static_cast<int>(node->index);
  }
  return -1;
}

int Cluster::busiest_sender() const {
  int best = -1;
  std::size_t most = 0;
  for (const auto& node : nodes_) {
    if (!node->alive || node->serving.size() <= most) continue;
    most = node->serving.size();
    best = static_cast<int>(node->index);
  }
  return best;
}

std::uint32_t Cluster::stripes_of(std::uint32_t node) const { return nodes_[node]->have.count(); }

double Cluster::lower_bound_ms() const {
  const auto bytes = static_cast<double>(geometry_.blob_bytes());
  const auto rounds = std::ceil(std::log2(options_.nodes + 1));
  return 1000 * (bytes / options_.up + bytes / (geometry_.stripes() * options_.up) * (rounds - 1));
}

}  // namespace oxbow::p2p::test

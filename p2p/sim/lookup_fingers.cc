// A look-up along the seed protocol's fingers: client, level 2, level 1, owner, where nothing is cached on the way. As
// the strategy `fingers` does it: the client's own fingers, others, the owner itself, its successor; a hop passes over
// a dead next one.
#include <algorithm>
#include <array>

#include "p2p/finger_table.h"
#include "p2p/sim/lookup_ring.h"

namespace oxbow::p2p::sim {
namespace {

constexpr std::uint32_t kClients = 4;  ///< a view: each sees the tiers from its own place
constexpr std::uint32_t kAttempts = 5;

struct Client {
  const RingViews::View* view = nullptr;
  std::uint32_t node = 0;
  std::shared_ptr<const PeerSnapshot> peers;
};

class FingersScheme final : public LookupScheme {
 public:
  FingersScheme(std::shared_ptr<const RingViews> views, const LookupOptions& options, std::uint64_t seed)
      : views_(std::move(views)), options_(options) {
    Random random(seed);
    for (const auto& view : views_->stale) {
      for (std::uint32_t i = 0; i < kClients; ++i) clients_.push_back(client_of(view, random));
    }
  }

  LookupOutcome look_up(std::uint64_t key, Random& random) override;
  double state_entries(Random&) const override { return views_->history.size(); }
  double upkeep(double) const override { return views_->upkeep(options_); }

 private:
  Client client_of(const RingViews::View& view, Random& random) const;
  std::uint32_t near(std::uint32_t a, std::uint32_t b) const;
  bool dead(const Client& client, PeerId id) const { return !views_->lives(client.view->nodes[id - 1]); }

  std::shared_ptr<const RingViews> views_;
  const LookupOptions& options_;
  std::vector<Client> clients_;
};

/// Labels that two places share: row, rack.
std::uint32_t FingersScheme::near(std::uint32_t a, std::uint32_t b) const {
  const auto row = options_.rack_nodes * options_.row_racks;
  if (a / row != b / row) return 0;
  return a / options_.rack_nodes == b / options_.rack_nodes ? 2 : 1;
}

Client FingersScheme::client_of(const RingViews::View& view, Random& random) const {
  Client client;
  client.view = &view;
  client.node = views_->any_client(view, random);
  const auto place = views_->history.node(client.node).place;
  auto peers = view.peers;
  for (std::uint32_t i = 0; i < peers.size(); ++i) {
    peers[i].self = view.nodes[i] == client.node;
    peers[i].near = near(place, views_->history.node(view.nodes[i]).place);
  }
  client.peers = std::make_shared<const PeerSnapshot>(std::move(peers), 1, view.index);
  return client;
}

LookupOutcome FingersScheme::look_up(std::uint64_t key, Random& random) {
  LookupOutcome out;
  const auto& client = clients_[random.below(static_cast<std::uint32_t>(clients_.size()))];
  const FingerTable table(client.peers, key);
  const double jitter = 1.0 / FingerTable::fan_out(client.peers->peers().size());
  std::vector<PeerId> away;
  const FingerTable::Live live = [&](const Peer& peer) { return std::ranges::find(away, peer.id) == away.end(); };
  for (std::uint32_t rung = 0; rung < kAttempts; ++rung) {
    const auto* owner = table.live_owner(live);
    if (owner == nullptr) break;
    std::array<const Peer*, 3> way{nullptr, nullptr, owner};
    if (rung < 2 && !owner->self) {
      Random fixed(client.node ^ key ^ (std::uint64_t{rung} << 32U));
      const auto route = table.choose(fixed, random, jitter, live);
      way = {route.h2, route.h1, owner};
    }
    std::uint32_t answered = 0;
    bool reached = false;
    for (const auto* hop : way) {
      const bool end = hop == owner;
      if (hop == nullptr || (hop->self && !end)) continue;
      if (!hop->self) ++out.messages;
      if (dead(client, hop->id)) {
        ++out.dead;
        out.ms += options_.timeout_ms;
        // Whom the client asks itself it knows to be dead; of those behind it hears only that the owner was.
        if (answered == 0 || end) away.push_back(hop->id);
        if (answered == 0) break;
        continue;
      }
      if (!hop->self) {
        ++answered;
        out.ms += options_.round_trip_ms;
      }
      reached = end;
      if (end) break;
    }
    if (!reached) continue;
    out.hops = answered;
    out.other = client.view->nodes[owner->id - 1] != views_->owner(key);
    return out;
  }
  out.failed = true;
  return out;
}

}  // namespace

std::unique_ptr<LookupScheme> make_fingers_scheme(std::shared_ptr<const RingViews> views, const LookupOptions& options,
                                                  std::uint64_t seed) {
  return std::make_unique<FingersScheme>(std::move(views), options, seed);
}

}  // namespace oxbow::p2p::sim

#include "mirror/admin/peers_routes.h"

#include <nlohmann/json.hpp>

#include "mirror/admin/ring_shares.h"

namespace oxbow::mirror {
namespace {

using Json = nlohmann::ordered_json;

Json known(double measure) { return measure > 0 ? Json(measure) : Json(nullptr); }

Json load_json(const p2p::Load& load) {
  if (load.slots == 0) return nullptr;
  return {{"used", load.used}, {"slots", load.slots}, {"waiting", load.waiting}};
}

Json peer_json(const p2p::PeerSnapshot& peers, const p2p::Peer& peer, double share) {
  const bool self = peers.is_self(peer);
  return {{"name", peer.member.name},
          {"self", self},
          {"addresses", peer.member.addresses},
          {"location", peer.member.location},
          {"weight", peer.member.weight},
          {"state", p2p::to_string(peer.state)},
          {"vetted", peer.vetted},
          {"near", peers.near(peer)},
          {"latency_ms", known(peer.latency_ms)},
          {"goodput_bytes_per_second", known(peer.goodput)},
          {"load", load_json(peer.load)},
          {"ring_share", share},
          // 64 bits are more than a number of JSON holds everywhere.
          {"incarnation", peer.incarnation == 0 ? Json(nullptr) : Json(fmt::format("{:016x}", peer.incarnation))}};
}

Json view_json(const PeersView& view, const std::string& self, RingShares& shares) {
  const auto share = shares.of(view.peers);
  Json peers = Json::array();
  for (std::size_t i = 0; i < view.peers->peers().size(); ++i)
    peers.push_back(peer_json(*view.peers, view.peers->peers()[i], share->at(i)));
  return {{"self", self},
          {"strategy", view.strategy},
          {"replicas", view.replicas},
          {"membership", view.membership},
          {"trouble", view.trouble.empty() ? Json(nullptr) : Json(view.trouble)},
          {"unnamed", view.unnamed},
          {"peers", std::move(peers)}};
}

}  // namespace

void add_peers_routes(ApiRoutes& routes, std::string self, ViewPeers view) {
  const auto shares = std::make_shared<RingShares>();
  routes.get("/api/v1/peers", [self = std::move(self), view = std::move(view), shares](const ApiCall&) -> Result<Json> {
    if (const auto ring = view()) return view_json(*ring, self, *shares);
    return Json{{"self", self},       {"strategy", "single"}, {"replicas", 0},         {"membership", nullptr},
                {"trouble", nullptr}, {"unnamed", 0},         {"peers", Json::array()}};
  });
}

}  // namespace oxbow::mirror

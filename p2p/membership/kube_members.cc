#include "p2p/membership/kube_members.h"

#include <set>

#include "p2p/membership/address.h"

namespace oxbow::p2p::kube {
namespace {

constexpr std::size_t kMaxAddresses = 16;

/// Where a peer of this zone is, before it has said so itself.
std::vector<std::string> location_in(const std::string& zone, const Places& places) {
  const auto found = std::ranges::find(places.labels, kZoneLabel);
  if (zone.empty() || found == places.labels.end()) return {};
  const auto& own = places.self_location;
  const auto width = static_cast<std::size_t>(found - places.labels.begin());
  if (width == 0 || own.empty()) return {zone};
  // The same zone is in the same region; of others the region is not known.
  if (own.size() > width && own[width] == zone)
    return {own.begin(), own.begin() + static_cast<std::ptrdiff_t>(width) + 1};
  return {};
}

/// Addresses of one member, best first, each once.
struct Addresses {
  std::set<std::string> v4, v6;
  std::string zone;
  bool terminating = false;  ///< all of them
};

void add(const Slice& slice, const std::string& port_name, std::map<std::string, Addresses>& by_node,
         std::set<std::string>& unnamed) {
  const auto port = std::ranges::find(slice.ports, port_name, &Port::name);
  if (port == slice.ports.end()) return;
  for (const auto& endpoint : slice.endpoints) {
    const auto address = join_address(endpoint.address, port->number);
    // Unless the API server says that it serves, who is terminating is taken for gone.
    if ((endpoint.terminating && !endpoint.serving) || !check_address(address)) continue;
    if (endpoint.node.empty()) {
      unnamed.insert(address);
      continue;
    }
    auto& known = by_node[endpoint.node];
    const bool first = known.v4.empty() && known.v6.empty();
    if (!first && known.terminating != endpoint.terminating) {
      if (endpoint.terminating) continue;
      known = {};
    }
    known.terminating = endpoint.terminating;
    (address.starts_with('[') ? known.v6 : known.v4).insert(address);
    if (known.zone.empty()) known.zone = endpoint.zone;
  }
}

}  // namespace

std::vector<std::string> location_of(const std::map<std::string, std::string>& node_labels,
                                     const std::vector<std::string>& labels) {
  std::vector<std::string> location;
  for (const auto& label : labels) {
    const auto found = node_labels.find(label);
    if (found == node_labels.end()) break;
    location.push_back(found->second);
  }
  return location;
}

std::vector<Member> members_of(const std::map<std::string, Object>& slices, const std::string& port_name,
                               const Places& places) {
  std::map<std::string, Addresses> by_node;
  std::set<std::string> unnamed;
  for (const auto& [name, object] : slices) {
    if (const auto* slice = std::get_if<Slice>(&object.content)) add(*slice, port_name, by_node, unnamed);
  }
  std::vector<Member> members;
  for (const auto& [node, known] : by_node) {
    Member member;
    member.name = node;
    member.addresses.assign(known.v4.begin(), known.v4.end());
    member.addresses.insert(member.addresses.end(), known.v6.begin(), known.v6.end());
    if (member.addresses.size() > kMaxAddresses) member.addresses.resize(kMaxAddresses);
    const bool known_self = node == places.self && !places.self_location.empty();
    member.location = known_self ? places.self_location : location_in(known.zone, places);
    members.push_back(std::move(member));
  }
  for (const auto& address : unnamed) members.emplace_back().addresses.push_back(address);
  return members;
}

}  // namespace oxbow::p2p::kube

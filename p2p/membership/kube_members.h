// From the EndpointSlices of a Service to members: one for each node, with the first address of each of its endpoints
// (IPv4 before IPv6) and the port of the given name. Endpoints that are not ready count: a node that the control plane
// does not hear of may well be reachable, and whether it is, peers find out themselves. An endpoint that is terminating
// counts while it serves, for it finishes what it does for others, and where its node has no other: the next pod is not
// to share a member with the last one.
// Thread rule: pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "p2p/member.h"
#include "p2p/membership/kube_json.h"

namespace oxbow::p2p::kube {

inline constexpr std::string_view kZoneLabel = "topology.kubernetes.io/zone";

/// What is known of where nodes are. A slice tells the zone of each endpoint; the other labels of nodes are told by the
/// nodes themselves, in their hello: nobody has to watch all Nodes.
struct Places {
  std::vector<std::string> labels;         ///< from wide to narrow
  std::string self;                        ///< this node's name
  std::vector<std::string> self_location;  ///< by those labels; empty: not known
};

/// The values of `labels` up to the first that is missing: what is behind it would stand at the wrong width.
std::vector<std::string> location_of(const std::map<std::string, std::string>& node_labels,
                                     const std::vector<std::string>& labels);

/// An endpoint whose node is not known is a member without a name.
std::vector<Member> members_of(const std::map<std::string, Object>& slices, const std::string& port_name,
                               const Places& places);

}  // namespace oxbow::p2p::kube

// The names that stand in a cluster's certificates. A node's name is its identity (`peer.name`): it must be a DNS name
// so that it can be a subject alternative name, and lower case so that names compare byte by byte, as the ring's hash
// and the list of revoked names do, while TLS compares them without regard to case.
// Thread rule: pure functions. They answer with what is wrong and what to do, empty when nothing is.
#pragma once

#include <string>
#include <string_view>

namespace oxbow::tls {

/// "node-7", "node-7.rack-2.example": labels of letters, digits and inner hyphens, each of at most 63 characters, 253
/// together (RFC 1123, section 2.1). No wildcards: one would make its owner every node.
std::string check_node_name(std::string_view name);
/// "10.0.0.7", "fd00::7"
std::string check_address(std::string_view address);

}  // namespace oxbow::tls

// Members as text: the JSON of one member (the value of a key in etcd), and the two forms of a member file.
// Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "p2p/member.h"

namespace oxbow::p2p {

inline constexpr double kMaxWeight = 100;  ///< tokens of the ring cost memory

/// {"name", "addresses", "location", "weight", "protocol_oldest", "protocol_newest"}; name and addresses are needed.
/// Unknown keys are left out: a newer node may say more. Errors: kInvalid.
Result<Member> parse_member(std::string_view json);
std::string member_to_json(const Member& member);

/// {"members": [...]} with unknown keys refused (a person has mistyped), or one host:port a line with # comments.
/// Errors: kInvalid, with line and column, or with the JSON path where the text is well-formed.
Result<std::vector<Member>> parse_member_file(std::string_view text);

}  // namespace oxbow::p2p

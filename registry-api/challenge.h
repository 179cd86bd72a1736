// `WWW-Authenticate` (RFC 9110 section 11.6.1): what a registry says it wants. Several challenges may stand in one
// field, and several fields in one response; parameters may be quoted and hold commas, spaces and escapes. Lenient
// where registries are sloppy (spaces around '=', empty list elements, a parameter value that is missing its closing
// quote); what cannot be read ends the field and keeps what stood before it.
// Thread rule: pure functions. Bounds: at most kMaxChallenges challenges of kMaxChallengeParameters parameters each.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/http/headers.h"

namespace oxbow::registry_api {

inline constexpr std::size_t kMaxChallenges = 16;
inline constexpr std::size_t kMaxChallengeParameters = 32;

struct Challenge {
  std::string scheme;                                           ///< lower case
  std::string token68;                                          ///< of schemes that give one instead of parameters
  std::vector<std::pair<std::string, std::string>> parameters;  ///< names in lower case, values unquoted

  std::optional<std::string_view> find(std::string_view name) const noexcept;
  bool operator==(const Challenge&) const = default;
};

/// Of one field value.
std::vector<Challenge> parse_challenges(std::string_view field);
/// Of all `WWW-Authenticate` fields, in order.
std::vector<Challenge> parse_challenges(const http::Headers& headers);
/// A field value that parses to the same challenge.
std::string format_challenge(const Challenge& challenge);

}  // namespace oxbow::registry_api

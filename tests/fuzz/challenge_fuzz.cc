// Property: parsing never fails, stays within its bounds, and what was parsed survives being formatted and parsed
// again.
#include <cstdlib>

#include "registry-api/challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace oxbow::registry_api;
  const auto found = parse_challenges(std::string_view(reinterpret_cast<const char*>(data), size));
  if (found.size() > kMaxChallenges) std::abort();
  for (const auto& challenge : found) {
    if (challenge.scheme.empty() || challenge.parameters.size() > kMaxChallengeParameters) std::abort();
    const auto again = parse_challenges(format_challenge(challenge));
    if (again.size() != 1 || again[0] != challenge) std::abort();
  }
  return 0;
}

#include "p2p/member.h"

#include <algorithm>

namespace oxbow::p2p {

std::uint32_t shared_labels(const std::vector<std::string>& a, const std::vector<std::string>& b) noexcept {
  const auto end = std::ranges::mismatch(a, b).in1;
  return static_cast<std::uint32_t>(end - a.begin());
}

}  // namespace oxbow::p2p

#include "p2p/swarm_window.h"

#include <algorithm>

namespace oxbow::p2p {

bool SwarmWindow::set(const std::vector<StripeRange>& wanted) {
  if (wanted == ranges_) return false;
  for (const auto word : words_) wanted_[word] = 0;
  words_.clear();
  ranges_ = wanted;
  for (const auto& range : ranges_) {
    for (auto stripe = range.begin; stripe < std::min(range.end, present_.size());) {
      const auto word = stripe / 64;
      const auto end = std::min({range.end, present_.size(), (word + 1) * 64});
      const auto count = end - stripe;
      const auto mask = (count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1) << (stripe % 64);
      if (wanted_[word] == 0) words_.push_back(word);
      wanted_[word] |= mask;
      stripe = end;
    }
  }
  return true;
}

bool SwarmWindow::any_open() const noexcept {
  return std::ranges::any_of(words_, [this](std::uint32_t word) { return open_word(word) != 0; });
}

std::optional<std::uint32_t> SwarmWindow::first_open() const noexcept {
  // The first range is where the most urgent reader waits.
  for (const auto& range : ranges_) {
    for (auto stripe = range.begin; stripe < range.end; ++stripe) {
      if (open(stripe)) return stripe;
    }
  }
  return std::nullopt;
}

}  // namespace oxbow::p2p

// What a swarm still has to get: the readers' window, and which of its stripes are under way. Bitmaps, so that "what
// can this peer give me" is a few words of arithmetic however large the blob. Part of p2p/swarm.
// Thread rule and lifetime: as the strategy that owns it.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "p2p/strategy.h"

namespace oxbow::p2p {

class SwarmWindow {
 public:
  explicit SwarmWindow(HaveMap present)
      : present_(std::move(present)), wanted_((present_.size() + 63) / 64), assigned_(wanted_.size()) {}

  /// Says whether anything changed.
  bool set(const std::vector<StripeRange>& wanted);

  const HaveMap& present() const noexcept { return present_; }
  const std::vector<StripeRange>& ranges() const noexcept { return ranges_; }
  bool empty() const noexcept { return ranges_.empty(); }

  bool wanted(std::uint32_t stripe) const noexcept { return test(wanted_, stripe) && !present_.has(stripe); }
  bool assigned(std::uint32_t stripe) const noexcept { return test(assigned_, stripe); }
  /// Wanted and not under way.
  bool open(std::uint32_t stripe) const noexcept { return wanted(stripe) && !assigned(stripe); }
  std::uint64_t open_word(std::uint32_t word) const noexcept {
    return wanted_[word] & ~assigned_[word] & ~present_.words()[word];
  }
  /// The words with wanted stripes, most urgent first.
  const std::vector<std::uint32_t>& words() const noexcept { return words_; }
  bool any_open() const noexcept;
  std::optional<std::uint32_t> first_open() const noexcept;

  void assign(std::uint32_t stripe) noexcept { assigned_[stripe / 64] |= bit(stripe); }
  void unassign(std::uint32_t stripe) noexcept { assigned_[stripe / 64] &= ~bit(stripe); }
  void arrived(std::uint32_t stripe) noexcept {
    present_.set(stripe);
    unassign(stripe);
  }
  void lost(std::uint32_t stripe) noexcept { present_.clear(stripe); }

 private:
  static std::uint64_t bit(std::uint32_t stripe) noexcept { return std::uint64_t{1} << (stripe % 64); }
  static bool test(const std::vector<std::uint64_t>& set, std::uint32_t stripe) noexcept {
    return (set[stripe / 64] & bit(stripe)) != 0;
  }

  HaveMap present_;
  std::vector<std::uint64_t> wanted_;
  std::vector<std::uint64_t> assigned_;
  std::vector<StripeRange> ranges_;
  std::vector<std::uint32_t> words_;
};

}  // namespace oxbow::p2p

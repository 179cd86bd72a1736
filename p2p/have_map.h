// Which stripes of a blob somebody has: a bitmap with its wire form. A value.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace oxbow::p2p {

/// More stripes than this are not spoken of: at the largest stripe a blob of 1.6 TB.
inline constexpr std::uint32_t kMaxStripes = 200'000;

class HaveMap {
 public:
  HaveMap() = default;
  explicit HaveMap(std::uint32_t stripes, bool all = false);

  std::uint32_t size() const noexcept { return size_; }
  std::uint32_t count() const noexcept { return count_; }
  bool complete() const noexcept { return count_ == size_; }
  bool has(std::uint32_t stripe) const noexcept {
    return stripe < size_ && ((words_[stripe / 64] >> (stripe % 64)) & 1U) != 0;
  }
  void set(std::uint32_t stripe) noexcept;
  void clear(std::uint32_t stripe) noexcept;
  bool operator==(const HaveMap&) const = default;
  /// Stripe i is bit i % 64 of word i / 64; the bits after the last stripe are clear. For set arithmetic.
  std::span<const std::uint64_t> words() const noexcept { return words_; }

  /// The stripes from `first` on, at most `count`, as a map of their own.
  HaveMap slice(std::uint32_t first, std::uint32_t count) const;
  /// What changed since `before`, a map of the same size: appended to `came` and `went`, in order.
  void changes_since(const HaveMap& before, std::vector<std::uint32_t>& came, std::vector<std::uint32_t>& went) const;

  /// Base64 of the bytes, bit i of byte j being stripe 8j + i; "all" and "none" for the two simple maps.
  std::string encode() const;
  /// Errors: kInvalid (not of this size), kLimit (more than kMaxStripes).
  static Result<HaveMap> decode(std::string_view text, std::uint32_t stripes);

 private:
  std::uint32_t size_ = 0;
  std::uint32_t count_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace oxbow::p2p

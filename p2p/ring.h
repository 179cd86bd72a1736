// The ring: who owns a key. Multi-probe consistent hashing (Appleton, O'Reilly, "Multi-probe consistent hashing", 2015)
// with weights: each member has `kTokensPerWeight` tokens for each unit of its weight, a key has `kProbes` places
// and belongs to the token that is next after any of the probes. Positions come from names alone, so that nodes with
// the same members agree. It is built over all members; eligibility filters the walk and never the order, so that nodes
// that disagree about a peer's health still agree about order.
// Thread rule: immutable, read from anywhere. Lifetime: a value, shared by snapshots.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "p2p/member.h"

namespace oxbow::p2p {

using Key = std::uint64_t;

/// Of a blob; of a span of a blob; of anything with a name (a tag).
Key key_of(const Digest& digest) noexcept;
Key key_of(const Digest& digest, std::uint32_t span) noexcept;
Key key_of(std::string_view name) noexcept;

class Ring {
 public:
  static constexpr int kProbes = 40;
  /// One token a member is enough for 40 probes from 100 members on. With three members it is not: two tokens that fall
  /// close together starve one of them, and load max/mean exceeds 1.1 in 8 % of all clusters; with 16 tokens in 0.1 %
  /// (docs/benchmarks.md).
  static constexpr int kTokensPerWeight = 16;
  /// Weights are honoured in steps of 1/16 between these; what is no number counts as 1.
  static constexpr double kWeightMin = 1.0 / kTokensPerWeight;
  static constexpr double kWeightMax = 16;

  Ring() = default;
  /// Names must be distinct.
  explicit Ring(std::span<const Member> members);

  std::size_t size() const noexcept { return members_; }
  /// The same for rings on which every key has the same owners: it differs when a member or its weight does.
  std::uint64_t fingerprint() const noexcept { return fingerprint_; }
  /// The index (in the span that it was built from) of the key's owner. Requires size() > 0.
  std::uint32_t owner(Key key) const noexcept { return owners_[winner(key)]; }
  /// The owner and the distinct members after it on the ring, in order, that `eligible` lets through, at most `count`.
  /// `eligible` is asked at most once about a member.
  std::vector<std::uint32_t> walk(Key key, std::size_t count, const std::function<bool(std::uint32_t)>& eligible) const;

 private:
  void place_tokens(std::span<const Member> members);
  std::size_t winner(Key key) const noexcept;  ///< index of the token

  std::vector<std::uint64_t> positions_;  ///< of the tokens, ascending, and one more at the end that is never passed
  std::vector<std::uint32_t> owners_;     ///< of the tokens: the member
  std::vector<std::uint32_t> buckets_;  ///< first token at or after the start of each of the equal parts of the circle
  std::uint64_t fingerprint_ = 0;       ///< the sum of the positions
  int bucket_shift_ = 0;                ///< position >> bucket_shift_ is its bucket
  std::uint32_t members_ = 0;
};

}  // namespace oxbow::p2p

// The ring: who owns a key. Multi-probe consistent hashing (Appleton, O'Reilly, "Multi-probe consistent hashing", 2015)
// with weights: each member has about `weight` tokens, a key is hashed `kProbes` times and belongs to the token that is
// next after any of the probes. It is built over all members; eligibility filters the walk and never the order, so that
// nodes that disagree about a peer's health still agree about order.
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
  static constexpr int kProbes = 40;  ///< load max/mean <= 1.08 at any size (measured, docs/benchmarks.md)

  Ring() = default;
  explicit Ring(std::span<const Member> members);

  std::size_t size() const noexcept;  ///< members
  /// The index (in the span that it was built from) of the key's owner. Requires size() > 0.
  std::uint32_t owner(Key key) const noexcept;
  /// The owner and the distinct members after it on the ring, in order, that `eligible` lets through, at most `count`.
  std::vector<std::uint32_t> walk(Key key, std::size_t count, const std::function<bool(std::uint32_t)>& eligible) const;

 private:
  struct Token {
    std::uint64_t position;
    std::uint32_t member;
  };
  std::vector<Token> tokens_;
  std::vector<std::uint32_t> buckets_;  ///< first token at or after each of the equal parts of the circle
  std::uint32_t members_ = 0;
};

}  // namespace oxbow::p2p

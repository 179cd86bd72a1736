#include "p2p/ring.h"

#include <xxhash.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace oxbow::p2p {
namespace {

// The seeds are part of the peer protocol: nodes that differ in them disagree about every owner.
constexpr std::uint64_t kDigestSeed = 0x6f78'626f'7701;
constexpr std::uint64_t kNameSeed = 0x6f78'626f'7702;
constexpr std::uint64_t kTokenSeed = 0x6f78'626f'7703;
constexpr std::uint64_t kProbeSeed = 0x6f78'626f'7704;
constexpr std::uint64_t kStepSeed = 0x6f78'626f'7705;

constexpr std::size_t kBucketsPerToken = 2;  ///< to four: most look-ups see one token of their bucket or none

std::uint32_t tokens_of(double weight) {
  if (!std::isfinite(weight)) weight = 1;
  return static_cast<std::uint32_t>(
      std::lround(std::clamp(weight, Ring::kWeightMin, Ring::kWeightMax) * Ring::kTokensPerWeight));
}

std::uint64_t hash_of(std::uint64_t value, std::uint64_t seed) {
  return XXH3_64bits_withSeed(&value, sizeof value, seed);
}

}  // namespace

Key key_of(const Digest& digest) noexcept {
  return XXH3_64bits_withSeed(digest.bytes().data(), digest.bytes().size(), kDigestSeed);
}

Key key_of(const Digest& digest, std::uint32_t span) noexcept {
  // Span 0 must not share its owner with the blob itself for every blob, so it is hashed too.
  return hash_of(key_of(digest) + span, kDigestSeed);
}

Key key_of(std::string_view name) noexcept { return XXH3_64bits_withSeed(name.data(), name.size(), kNameSeed); }

Ring::Ring(std::span<const Member> members) : members_(static_cast<std::uint32_t>(members.size())) {
  if (members_ > 0) place_tokens(members);
}

void Ring::place_tokens(std::span<const Member> members) {
  struct Token {
    std::uint64_t position;
    std::uint32_t member;
  };
  std::vector<Token> unsorted;
  for (std::uint32_t index = 0; index < members_; ++index) {
    const auto& member = members[index];
    const Key name = XXH3_64bits_withSeed(member.name.data(), member.name.size(), kTokenSeed);
    const auto tokens = tokens_of(member.weight);
    for (std::uint32_t token = 0; token < tokens; ++token) {
      unsorted.push_back({hash_of(name + token, kTokenSeed), index});
    }
  }
  // Positions are uniform, so that to count them by bucket is most of sorting them.
  const auto buckets = std::bit_ceil(unsorted.size() * kBucketsPerToken);
  bucket_shift_ = 64 - std::countr_zero(buckets);
  buckets_.assign(buckets + 1, 0);
  for (const auto& token : unsorted) ++buckets_[(token.position >> bucket_shift_) + 1];
  std::partial_sum(buckets_.begin(), buckets_.end(), buckets_.begin());
  std::vector<Token> sorted(unsorted.size());
  auto next = buckets_;
  for (const auto& token : unsorted) sorted[next[token.position >> bucket_shift_]++] = token;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    if (buckets_[bucket + 1] - buckets_[bucket] < 2) continue;
    std::sort(sorted.begin() + buckets_[bucket], sorted.begin() + buckets_[bucket + 1],
              [&](const Token& a, const Token& b) {
                if (a.position != b.position) return a.position < b.position;
                return members[a.member].name < members[b.member].name;
              });
  }
  for (const auto& token : sorted) {
    positions_.push_back(token.position);
    fingerprint_ += token.position;
    owners_.push_back(token.member);
  }
  positions_.push_back(std::numeric_limits<std::uint64_t>::max());
}

std::size_t Ring::winner(Key key) const noexcept {
  const std::uint64_t step = hash_of(key, kStepSeed) | 1U;
  std::uint64_t probe = hash_of(key, kProbeSeed);
  std::uint64_t best_distance = std::numeric_limits<std::uint64_t>::max();
  std::size_t best = 0;
  for (int i = 0; i < kProbes; ++i, probe += step) {
    std::size_t token = buckets_[probe >> bucket_shift_];
    // Without a branch for the usual cases of one token before the probe or none, which no processor can guess.
    token += positions_[token] < probe ? 1U : 0U;
    while (positions_[token] < probe) [[unlikely]]
      ++token;
    if (token == owners_.size()) [[unlikely]]
      token = 0;
    const std::uint64_t distance = positions_[token] - probe;  // wraps around the circle
    const bool nearer = distance < best_distance;
    best_distance = nearer ? distance : best_distance;
    best = nearer ? token : best;
  }
  return best;
}

std::vector<std::uint32_t> Ring::walk(Key key, std::size_t count,
                                      const std::function<bool(std::uint32_t)>& eligible) const {
  std::vector<std::uint32_t> found;
  if (members_ == 0 || count == 0) return found;
  std::vector<bool> seen(members_);
  std::size_t left = members_;
  for (std::size_t token = winner(key); left > 0 && found.size() < count; token = (token + 1) % owners_.size()) {
    const auto member = owners_[token];
    if (seen[member]) continue;
    seen[member] = true;
    --left;
    if (eligible(member)) found.push_back(member);
  }
  return found;
}

}  // namespace oxbow::p2p

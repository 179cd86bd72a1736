#include "p2p/ring.h"

#include <xxhash.h>

#include <bit>
#include <cmath>
#include <limits>

namespace oxbow::p2p {
namespace {

// The seeds are part of the peer protocol: nodes that differ in them disagree about every owner.
constexpr std::uint64_t kDigestSeed = 0x6f78'626f'7701;
constexpr std::uint64_t kNameSeed = 0x6f78'626f'7702;
constexpr std::uint64_t kTokenSeed = 0x6f78'626f'7703;
constexpr std::uint64_t kProbeSeed = 0x6f78'626f'7704;
constexpr std::uint64_t kStepSeed = 0x6f78'626f'7705;

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
  for (std::uint32_t index = 0; index < members_; ++index) {
    const auto& member = members[index];
    const Key name = XXH3_64bits_withSeed(member.name.data(), member.name.size(), kTokenSeed);
    const auto tokens = tokens_of(member.weight);
    for (std::uint32_t token = 0; token < tokens; ++token) {
      tokens_.push_back({hash_of(name + token, kTokenSeed), index});
    }
  }
  std::ranges::sort(tokens_, [&](const Token& a, const Token& b) {
    if (a.position != b.position) return a.position < b.position;
    return members[a.member].name < members[b.member].name;
  });
  index_buckets();
}

void Ring::index_buckets() {
  if (tokens_.empty()) return;
  // One to two buckets a token: most look-ups see one token of it.
  const auto buckets = std::max<std::size_t>(2, std::bit_ceil(tokens_.size()));
  bucket_shift_ = 64 - std::countr_zero(buckets);
  buckets_.resize(buckets);
  std::uint32_t token = 0;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const auto start = static_cast<std::uint64_t>(bucket) << bucket_shift_;
    while (token < tokens_.size() && tokens_[token].position < start) ++token;
    buckets_[bucket] = token;
  }
}

std::size_t Ring::winner(Key key) const noexcept {
  const std::uint64_t step = hash_of(key, kStepSeed) | 1U;
  std::uint64_t probe = hash_of(key, kProbeSeed);
  std::uint64_t best_distance = std::numeric_limits<std::uint64_t>::max();
  std::size_t best = 0;
  for (int i = 0; i < kProbes; ++i, probe += step) {
    std::size_t token = buckets_[probe >> bucket_shift_];
    while (token < tokens_.size() && tokens_[token].position < probe) ++token;
    if (token == tokens_.size()) token = 0;
    const std::uint64_t distance = tokens_[token].position - probe;  // wraps around the circle
    if (distance < best_distance) {
      best_distance = distance;
      best = token;
    }
  }
  return best;
}

std::vector<std::uint32_t> Ring::walk(Key key, std::size_t count,
                                      const std::function<bool(std::uint32_t)>& eligible) const {
  std::vector<std::uint32_t> found;
  if (members_ == 0 || count == 0) return found;
  std::vector<bool> seen(members_);
  std::size_t left = members_;
  for (std::size_t token = winner(key); left > 0 && found.size() < count; token = (token + 1) % tokens_.size()) {
    const auto member = tokens_[token].member;
    if (seen[member]) continue;
    seen[member] = true;
    --left;
    if (eligible(member)) found.push_back(member);
  }
  return found;
}

}  // namespace oxbow::p2p

#include "core/sha.h"

#include <gtest/gtest.h>

#include <random>

namespace oxbow {
namespace {

using Algorithm = Digest::Algorithm;

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::byte> out(size);
  for (auto& byte : out) byte = static_cast<std::byte>(generator());
  return out;
}

class Midstates : public testing::TestWithParam<Algorithm> {};

// Fed in pieces of any size, the digest is the one that OpenSSL's EVP interface gives for the whole.
TEST_P(Midstates, PiecesHashLikeTheWhole) {
  const auto content = random_bytes(100'003, 1);
  std::mt19937 generator(2);
  Hasher hasher(GetParam());
  for (std::size_t at = 0; at < content.size();) {
    const auto piece = std::min<std::size_t>(generator() % 300, content.size() - at);
    hasher.update(std::span(content).subspan(at, piece));
    at += piece;
    EXPECT_EQ(hasher.bytes(), at);
  }
  EXPECT_EQ(hasher.digest(), Digest::of(GetParam(), content));
}

// From every block boundary on, a hasher resumed from the midstate goes on to the same digest: also at 0, also when
// nothing follows.
TEST_P(Midstates, ResumeAtEveryBoundary) {
  const auto content = random_bytes(128 * 9 + 77, 3);
  const auto expected = Digest::of(GetParam(), content);
  Hasher hasher(GetParam());
  for (std::size_t at = 0; at + 128 <= content.size(); at += 128) {
    const auto midstate = hasher.midstate();
    auto resumed = Hasher::resume(GetParam(), midstate, at);
    ASSERT_TRUE(resumed) << at;
    EXPECT_EQ(resumed->bytes(), at);
    resumed->update(std::span(content).subspan(at));
    EXPECT_EQ(resumed->digest(), expected) << at;
    hasher.update(std::span(content).subspan(at, 128));
  }
}

// state(i) → stripe i → state(i+1): one stripe is verified alone, and a flipped bit is found.
TEST_P(Midstates, VerifyOneStripeAlone) {
  auto content = random_bytes(128 * 64, 4);
  Hasher hasher(GetParam());
  hasher.update(std::span(content).first(128 * 16));
  const auto before = hasher.midstate();
  hasher.update(std::span(content).subspan(128 * 16, 128 * 16));
  const auto after = hasher.midstate();

  const auto stripe_state = [&] {
    auto alone = Hasher::resume(GetParam(), before, 128 * 16);
    alone->update(std::span(content).subspan(128 * 16, 128 * 16));
    return alone->midstate();
  };
  EXPECT_EQ(stripe_state(), after);
  content[128 * 20] ^= std::byte{1};
  EXPECT_NE(stripe_state(), after);
}

// The length is part of the final block: beyond 4 GiB, and for sha512 beyond 2^61 bytes, its upper half must be resumed
// too.
TEST_P(Midstates, LengthBeyond32BitsCounts) {
  const Hasher start(GetParam());
  const auto near = Hasher::resume(GetParam(), start.midstate(), 0);
  const auto far = Hasher::resume(GetParam(), start.midstate(), 1ULL << 40);
  const auto farther =
      Hasher::resume(GetParam(), start.midstate(), GetParam() == Algorithm::kSha512 ? 1ULL << 61 : 1ULL << 33);
  ASSERT_TRUE(near && far && farther);
  EXPECT_NE(near->digest(), far->digest());
  EXPECT_NE(near->digest(), farther->digest());
}

// A midstate of another length or at no boundary is refused.
TEST_P(Midstates, RefuseWhatDoesNotFit) {
  const Hasher hasher(GetParam());
  const auto midstate = hasher.midstate();
  EXPECT_EQ(midstate.size(), GetParam() == Algorithm::kSha256 ? 32U : 64U);
  EXPECT_FALSE(Hasher::resume(GetParam(), midstate, 64));
  EXPECT_FALSE(Hasher::resume(GetParam(), midstate + "x", 128));
  EXPECT_FALSE(Hasher::resume(GetParam(), "", 128));
}

// A copy forks the hash, and asking for the digest does not end it.
TEST_P(Midstates, CopiesAreIndependent) {
  const auto content = random_bytes(1000, 5);
  Hasher hasher(GetParam());
  hasher.update(std::span(content).first(500));
  const Hasher copy = hasher;
  EXPECT_EQ(hasher.digest(), Digest::of(GetParam(), std::span(content).first(500)));
  hasher.update(std::span(content).subspan(500));
  EXPECT_EQ(hasher.digest(), Digest::of(GetParam(), content));
  EXPECT_EQ(copy.digest(), Digest::of(GetParam(), std::span(content).first(500)));
}

INSTANTIATE_TEST_SUITE_P(Algorithms, Midstates, testing::Values(Algorithm::kSha256, Algorithm::kSha512),
                         [](const auto& info) { return info.param == Algorithm::kSha256 ? "sha256" : "sha512"; });

// In pieces, at once, after a reset and after a move: one value; one flipped bit: another.
TEST(ChecksumOfStripes, StreamsLikeTheWhole) {
  auto content = random_bytes(100'000, 6);
  const auto expected = checksum(content);
  ChecksumState state;
  state.update(std::span(content).first(10));
  state.reset();
  state.update(std::span(content).first(33'333));
  ChecksumState moved(std::move(state));
  moved.update(std::span(content).subspan(33'333));
  EXPECT_EQ(moved.value(), expected);
  ChecksumState assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.value(), expected);
  content[77] ^= std::byte{1};
  EXPECT_NE(checksum(content), expected);
}

// Known answer, so that a library with another XXH3 is noticed before it drops a cache.
TEST(ChecksumOfStripes, KnownAnswer) {
  EXPECT_EQ(checksum({}), (Checksum{0x6001c324468d497fULL, 0x99aa06d3014798d8ULL}));
}

}  // namespace
}  // namespace oxbow

// The low-level SHA functions are deprecated in favour of EVP, which cannot export its state.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/sha.h"

#include <fmt/format.h>

#include <xxhash.h>

#include "core/encoding.h"
#include "core/error.h"

namespace oxbow {
namespace {

template <typename Word, std::size_t kWords>
std::string words_big_endian(const Word (&words)[kWords]) {
  std::string out;
  for (const Word word : words) {
    for (int shift = static_cast<int>(sizeof(Word)) * 8 - 8; shift >= 0; shift -= 8) {
      out += static_cast<char>(word >> shift & 255);
    }
  }
  return out;
}

template <typename Word, std::size_t kWords>
void load_words(std::string_view in, Word (&words)[kWords]) {
  std::size_t at = 0;
  for (Word& word : words) {
    Word value = 0;
    for (std::size_t i = 0; i < sizeof(Word); ++i) value = value << 8 | static_cast<unsigned char>(in[at++]);
    word = value;
  }
}

}  // namespace

Hasher::Hasher(Digest::Algorithm algorithm) {
  if (algorithm == Digest::Algorithm::kSha256) {
    SHA256_Init(&state_.emplace<SHA256_CTX>());
  } else {
    SHA512_Init(&state_.emplace<SHA512_CTX>());
  }
}

void Hasher::update(std::span<const std::byte> bytes) {
  bytes_ += bytes.size();
  if (auto* sha256 = std::get_if<SHA256_CTX>(&state_)) {
    SHA256_Update(sha256, bytes.data(), bytes.size());
  } else {
    SHA512_Update(&std::get<SHA512_CTX>(state_), bytes.data(), bytes.size());
  }
}

Digest Hasher::digest() const {
  std::array<std::byte, 64> out;
  auto copy = state_;
  if (auto* sha256 = std::get_if<SHA256_CTX>(&copy)) {
    SHA256_Final(reinterpret_cast<unsigned char*>(out.data()), sha256);
    return Digest::from_bytes(Digest::Algorithm::kSha256, std::span(out).first(32));
  }
  SHA512_Final(reinterpret_cast<unsigned char*>(out.data()), &std::get<SHA512_CTX>(copy));
  return Digest::from_bytes(Digest::Algorithm::kSha512, out);
}

std::string Hasher::midstate() const {
  OXBOW_INVARIANT(bytes_ % 128 == 0);
  if (const auto* sha256 = std::get_if<SHA256_CTX>(&state_)) return words_big_endian(sha256->h);
  return words_big_endian(std::get<SHA512_CTX>(state_).h);
}

std::optional<Hasher> Hasher::resume(Digest::Algorithm algorithm, std::string_view midstate, std::uint64_t bytes) {
  if (bytes % 128 != 0) return std::nullopt;
  Hasher hasher(algorithm);
  hasher.bytes_ = bytes;
  const std::uint64_t bits = bytes << 3;
  if (auto* sha256 = std::get_if<SHA256_CTX>(&hasher.state_)) {
    if (midstate.size() != 32) return std::nullopt;
    load_words(midstate, sha256->h);
    sha256->Nl = static_cast<SHA_LONG>(bits);
    sha256->Nh = static_cast<SHA_LONG>(bits >> 32);
  } else {
    auto& sha512 = std::get<SHA512_CTX>(hasher.state_);
    if (midstate.size() != 64) return std::nullopt;
    load_words(midstate, sha512.h);
    sha512.Nl = bits;
    sha512.Nh = bytes >> 61;
  }
  return hasher;
}

ChecksumState::ChecksumState() : state_(XXH3_createState()) { reset(); }
ChecksumState::ChecksumState(ChecksumState&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
ChecksumState& ChecksumState::operator=(ChecksumState&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
ChecksumState::~ChecksumState() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }
void ChecksumState::reset() { XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_)); }
void ChecksumState::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}
Checksum ChecksumState::value() const {
  const auto hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
  return {hash.low64, hash.high64};
}

Checksum checksum(std::span<const std::byte> bytes) {
  const auto hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::string Checksum::hex() const { return fmt::format("{:016x}{:016x}", high, low); }

std::optional<Checksum> Checksum::parse(std::string_view hex) {
  const auto bytes = hex.size() == 32 ? from_hex(hex) : std::nullopt;
  if (!bytes) return std::nullopt;
  Checksum sum;
  for (std::size_t i = 0; i < 8; ++i) {
    sum.high = sum.high << 8 | static_cast<std::uint8_t>((*bytes)[i]);
    sum.low = sum.low << 8 | static_cast<std::uint8_t>((*bytes)[8 + i]);
  }
  return sum;
}

}  // namespace oxbow

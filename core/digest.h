// OCI content digests (image-spec descriptor.md, "Digests"): `algorithm:encoded`. sha256 and sha512 can be verified;
// other algorithms parse as kUnsupported, malformed text as kInvalid.
// Thread rule: plain values.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/error.h"

namespace oxbow {

class Digest {
 public:
  enum class Algorithm : std::uint8_t { kSha256 = 1, kSha512 = 2 };

  /// Errors: kInvalid (not a digest), kUnsupported (a digest of an algorithm that we cannot verify).
  static Result<Digest> parse(std::string_view text);
  /// From raw hash bytes. `bytes` must have the algorithm's length.
  static Digest from_bytes(Algorithm algorithm, std::span<const std::byte> bytes);
  static Digest sha256(std::span<const std::byte> content);
  static Digest sha256(std::string_view content) { return sha256(std::as_bytes(std::span(content))); }
  /// Hashes with the algorithm of `like`.
  static Digest of(Algorithm algorithm, std::span<const std::byte> content);

  Algorithm algorithm() const noexcept { return algorithm_; }
  std::span<const std::byte> bytes() const noexcept {
    return {bytes_.data(), algorithm_ == Algorithm::kSha256 ? 32U : 64U};
  }
  std::string hex() const;
  /// `sha256:…`
  std::string to_string() const;

  /// By algorithm, then by bytes: an order for maps.
  auto operator<=>(const Digest&) const = default;

  struct Hash {
    std::size_t operator()(const Digest& d) const noexcept {
      std::size_t h;  // a cryptographic hash is its own hash
      static_assert(sizeof h <= 32);
      __builtin_memcpy(&h, d.bytes_.data(), sizeof h);
      return h;
    }
  };

 private:
  Digest() = default;
  Algorithm algorithm_ = Algorithm::kSha256;
  std::array<std::byte, 64> bytes_{};
};

}  // namespace oxbow

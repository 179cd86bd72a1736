// Hashing whose state can be saved and resumed: the midstates of a blob's in-order prefix.
// EVP cannot export a state, so this uses OpenSSL's low-level SHA256/SHA512 functions, which are deprecated and
// supported in every OpenSSL 3 (docs/decisions/0004-midstates.md). Thread rule: one thread at a time. A value: copying
// it forks the hash.
#pragma once

#include <openssl/sha.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/digest.h"

namespace oxbow {

class Hasher {
 public:
  explicit Hasher(Digest::Algorithm algorithm);

  void update(std::span<const std::byte> bytes);
  std::uint64_t bytes() const noexcept { return bytes_; }
  /// The digest of what was fed so far; the hasher itself can go on.
  Digest digest() const;

  /// The chaining value at a block boundary (32 bytes for sha256, 64 for sha512). Requires bytes() % 128 == 0.
  std::string midstate() const;
  /// A hasher that goes on from a midstate. Nothing when the length does not fit.
  static std::optional<Hasher> resume(Digest::Algorithm algorithm, std::string_view midstate, std::uint64_t bytes);

 private:
  std::variant<SHA256_CTX, SHA512_CTX> state_;
  std::uint64_t bytes_ = 0;
};

/// XXH3-128 of a stripe, fed in order: the checksum that every stripe on disk has. It finds accidents, not malice.
struct Checksum {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  bool operator==(const Checksum&) const = default;
  /// 32 hex digits, high half first.
  std::string hex() const;
  static std::optional<Checksum> parse(std::string_view hex);
};

class ChecksumState {
 public:
  ChecksumState();
  ChecksumState(ChecksumState&&) noexcept;
  ChecksumState& operator=(ChecksumState&&) noexcept;
  ~ChecksumState();

  void reset();
  void update(std::span<const std::byte> bytes);
  Checksum value() const;

 private:
  void* state_;
};

Checksum checksum(std::span<const std::byte> bytes);

}  // namespace oxbow

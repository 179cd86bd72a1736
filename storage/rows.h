// The index's rows as bytes (docs/disk-format.md): little-endian, each begins with its version. Keys sort by digest,
// then span. Thread rule: pure functions. Decoding never trusts: nothing for bytes that are not a row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.h"
#include "core/sha.h"
#include "storage/store.h"

namespace oxbow::storage {

struct BlobRow {
  std::uint64_t size = 0;
  std::uint64_t generation = 0;  ///< part of the file's name
  std::uint64_t last_used_s = 0;
  BlobState state = BlobState::kPartial;
  bool pinned = false;
  bool in_main = false;  ///< which eviction queue
  bool operator==(const BlobRow&) const = default;
};

struct SpanRow {
  std::uint8_t present = 0;    ///< bit i: stripe 8 · span + i
  std::uint8_t midstates = 0;  ///< bit i: the midstate at the begin of that stripe
  std::array<Checksum, kStripesPerSpan> checksums{};
  std::string midstate_bytes;  ///< those whose bit is set, in order
};

struct SmallInfo {
  std::uint32_t bytes = 0;
  std::uint64_t last_used_s = 0;
};

std::string digest_key(const Digest& digest);
std::optional<Digest> parse_digest_key(std::string_view key);
std::string span_key(const Digest& digest, std::uint32_t span);
struct SpanKey {
  Digest digest;
  std::uint32_t span;
};
std::optional<SpanKey> parse_span_key(std::string_view key);

std::string encode(const BlobRow& row);
std::optional<BlobRow> decode_blob_row(std::string_view bytes);
std::string encode(const SpanRow& row);
std::optional<SpanRow> decode_span_row(std::string_view bytes, std::size_t midstate_bytes);
std::string encode(const SmallBody& body);
/// Nothing when the checksum does not match.
std::optional<SmallBody> decode_small(std::string_view bytes);
std::string encode(const SmallInfo& info);
std::optional<SmallInfo> decode_small_info(std::string_view bytes);

/// 32 or 64.
std::size_t midstate_size(Digest::Algorithm algorithm) noexcept;

}  // namespace oxbow::storage

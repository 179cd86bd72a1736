#include "storage/rows.h"

#include <bit>

namespace oxbow::storage {
namespace {

constexpr std::uint8_t kRowVersion = 1;

template <typename Number>
void put(std::string& out, Number value) {
  for (std::size_t i = 0; i < sizeof(Number); ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> 8 * i & 255);
}

/// Takes fields off the front; after a short read everything is zero and `ok` false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  Number number() {
    const auto field = take(sizeof(Number));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < field.size(); ++i)
      value |= std::uint64_t{static_cast<unsigned char>(field[i])} << 8 * i;
    return static_cast<Number>(value);
  }
  std::string_view take(std::size_t count) {
    if (bytes_.size() < count) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const auto field = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return field;
  }
  std::string_view rest() { return take(bytes_.size()); }
  bool version() { return number<std::uint8_t>() == kRowVersion && ok_; }
  bool done() const { return ok_ && bytes_.empty(); }
  bool ok() const { return ok_; }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

std::span<const std::byte> as_bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

Checksum small_checksum(std::string_view media_type, std::string_view bytes) {
  ChecksumState state;
  state.reset();
  state.update(as_bytes(media_type));
  state.update(as_bytes(bytes));
  return state.value();
}

}  // namespace

std::size_t midstate_size(Digest::Algorithm algorithm) noexcept {
  return algorithm == Digest::Algorithm::kSha256 ? 32 : 64;
}

std::string digest_key(const Digest& digest) {
  std::string key(1, static_cast<char>(digest.algorithm()));
  const auto bytes = digest.bytes();
  key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return key;
}

std::optional<Digest> parse_digest_key(std::string_view key) {
  if (key.empty()) return std::nullopt;
  const auto algorithm = static_cast<Digest::Algorithm>(key[0]);
  if (algorithm != Digest::Algorithm::kSha256 && algorithm != Digest::Algorithm::kSha512) return std::nullopt;
  if (key.size() != 1 + midstate_size(algorithm)) return std::nullopt;
  return Digest::from_bytes(algorithm, as_bytes(key.substr(1)));
}

std::string span_key(const Digest& digest, std::uint32_t span) {
  std::string key = digest_key(digest);
  for (int shift = 24; shift >= 0; shift -= 8) key += static_cast<char>(span >> shift & 255);
  return key;
}

std::optional<SpanKey> parse_span_key(std::string_view key) {
  if (key.size() < 4) return std::nullopt;
  const auto digest = parse_digest_key(key.substr(0, key.size() - 4));
  if (!digest) return std::nullopt;
  std::uint32_t span = 0;
  for (const char c : key.substr(key.size() - 4)) span = span << 8 | static_cast<unsigned char>(c);
  return SpanKey{*digest, span};
}

std::string encode(const BlobRow& row) {
  std::string out;
  put(out, kRowVersion);
  put(out, static_cast<std::uint8_t>(row.state));
  put(out, static_cast<std::uint8_t>((row.pinned ? 1 : 0) | (row.in_main ? 2 : 0)));
  put(out, row.size);
  put(out, row.generation);
  put(out, row.last_used_s);
  return out;
}

std::optional<BlobRow> decode_blob_row(std::string_view bytes) {
  Reader in(bytes);
  if (!in.version()) return std::nullopt;
  BlobRow row;
  const auto state = in.number<std::uint8_t>();
  const auto flags = in.number<std::uint8_t>();
  row.size = in.number<std::uint64_t>();
  row.generation = in.number<std::uint64_t>();
  row.last_used_s = in.number<std::uint64_t>();
  if (!in.done() || state > 1 || flags > 3) return std::nullopt;
  row.state = static_cast<BlobState>(state);
  row.pinned = (flags & 1) != 0;
  row.in_main = (flags & 2) != 0;
  return row;
}

std::string encode(const SpanRow& row) {
  std::string out;
  put(out, kRowVersion);
  put(out, row.present);
  put(out, row.midstates);
  for (std::size_t i = 0; i < row.checksums.size(); ++i) {
    if ((row.present >> i & 1) == 0) continue;
    put(out, row.checksums[i].low);
    put(out, row.checksums[i].high);
  }
  out += row.midstate_bytes;
  return out;
}

std::optional<SpanRow> decode_span_row(std::string_view bytes, std::size_t midstate_bytes) {
  Reader in(bytes);
  if (!in.version()) return std::nullopt;
  SpanRow row;
  row.present = in.number<std::uint8_t>();
  row.midstates = in.number<std::uint8_t>();
  for (std::size_t i = 0; i < row.checksums.size(); ++i) {
    if ((row.present >> i & 1) == 0) continue;
    row.checksums[i].low = in.number<std::uint64_t>();
    row.checksums[i].high = in.number<std::uint64_t>();
  }
  row.midstate_bytes = in.take(static_cast<std::size_t>(std::popcount(row.midstates)) * midstate_bytes);
  if (!in.done()) return std::nullopt;
  return row;
}

std::string encode(const SmallBody& body) {
  std::string out;
  put(out, kRowVersion);
  const auto sum = small_checksum(body.media_type, body.bytes);
  put(out, sum.low);
  put(out, sum.high);
  put(out, static_cast<std::uint16_t>(body.media_type.size()));
  return out + body.media_type + body.bytes;
}

std::optional<SmallBody> decode_small(std::string_view bytes) {
  Reader in(bytes);
  if (!in.version()) return std::nullopt;
  Checksum sum;
  sum.low = in.number<std::uint64_t>();
  sum.high = in.number<std::uint64_t>();
  const auto type_bytes = in.number<std::uint16_t>();
  SmallBody body;
  body.media_type = in.take(type_bytes);
  if (!in.ok()) return std::nullopt;
  body.bytes = in.rest();
  if (small_checksum(body.media_type, body.bytes) != sum) return std::nullopt;
  return body;
}

std::string encode(const SmallInfo& info) {
  std::string out;
  put(out, kRowVersion);
  put(out, info.bytes);
  put(out, info.last_used_s);
  return out;
}

std::optional<SmallInfo> decode_small_info(std::string_view bytes) {
  Reader in(bytes);
  if (!in.version()) return std::nullopt;
  SmallInfo info;
  info.bytes = in.number<std::uint32_t>();
  info.last_used_s = in.number<std::uint64_t>();
  if (!in.done()) return std::nullopt;
  return info;
}

}  // namespace oxbow::storage

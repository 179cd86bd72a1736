// How a blob is cut: stripes (the unit of sharing) and spans of 8 stripes (the unit of upstream requests, leases and
// eviction of giant blobs). A pure function of the blob's size, fixed by the protocol version: two nodes that know the
// size agree on every boundary.
// Source of the numbers: pipeline fill is log2(N)/S, so about 256 stripes a blob; 512 KiB to 8 MiB bound the overhead
// per stripe and the store-and-forward delay (docs/decisions/0003-geometry.md).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace oxbow {

inline constexpr std::uint64_t kMinStripeBytes = 512ULL * 1024;
inline constexpr std::uint64_t kMaxStripeBytes = 8ULL * 1024 * 1024;
inline constexpr std::uint32_t kStripesPerSpan = 8;

/// Half-open byte range of a blob.
struct ByteRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const noexcept { return end - begin; }
  bool empty() const noexcept { return begin >= end; }
  bool contains(std::uint64_t offset) const noexcept { return offset >= begin && offset < end; }
  bool operator==(const ByteRange&) const = default;
};

class Geometry {
 public:
  explicit constexpr Geometry(std::uint64_t blob_bytes) noexcept
      : blob_bytes_(blob_bytes), stripe_bytes_(stripe_bytes_for(blob_bytes)) {}

  /// A blob below 1 MiB is one stripe.
  static constexpr std::uint64_t stripe_bytes_for(std::uint64_t blob_bytes) noexcept {
    if (blob_bytes < 1024ULL * 1024) return 1024ULL * 1024;
    return std::clamp(std::bit_ceil((blob_bytes + 255) / 256), kMinStripeBytes, kMaxStripeBytes);
  }

  constexpr std::uint64_t blob_bytes() const noexcept { return blob_bytes_; }
  constexpr std::uint64_t stripe_bytes() const noexcept { return stripe_bytes_; }
  constexpr std::uint64_t span_bytes() const noexcept { return stripe_bytes_ * kStripesPerSpan; }
  constexpr std::uint32_t stripes() const noexcept {
    return static_cast<std::uint32_t>((blob_bytes_ + stripe_bytes_ - 1) / stripe_bytes_);
  }
  constexpr std::uint32_t spans() const noexcept { return (stripes() + kStripesPerSpan - 1) / kStripesPerSpan; }

  constexpr std::uint32_t stripe_at(std::uint64_t offset) const noexcept {
    return static_cast<std::uint32_t>(offset / stripe_bytes_);
  }
  constexpr ByteRange stripe(std::uint32_t index) const noexcept {
    const std::uint64_t begin = index * stripe_bytes_;
    return {begin, std::min(begin + stripe_bytes_, blob_bytes_)};
  }
  static constexpr std::uint32_t span_of(std::uint32_t stripe) noexcept { return stripe / kStripesPerSpan; }

 private:
  std::uint64_t blob_bytes_;
  std::uint64_t stripe_bytes_;
};

}  // namespace oxbow

// The layout of a multipart/byteranges body (RFC 9110 section 14.6): what stands between the ranges, and the total
// length, so that Content-Length is exact before the first byte. Parts are in request order, none merged: podman fails
// on a wrong part count. Thread rule: immutable after construction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/geometry.h"

namespace oxbow::registry_api {

class MultipartLayout {
 public:
  /// `nonce` is random: it makes a boundary that a content cannot hold on purpose. `part_type` is the Content-Type of
  /// the parts.
  MultipartLayout(std::vector<ByteRange> ranges, std::uint64_t size, std::string part_type, std::uint64_t nonce);

  /// The body is: for each part its header, then its range's bytes; then the trailer.
  std::size_t parts() const noexcept { return ranges_.size(); }
  std::string part_header(std::size_t part) const;
  ByteRange part_range(std::size_t part) const { return ranges_.at(part); }
  const std::string& trailer() const noexcept { return trailer_; }

  std::uint64_t total_bytes() const noexcept { return total_bytes_; }
  /// `multipart/byteranges; boundary=…`: a bare token, unquoted, because some clients split instead of parsing.
  std::string content_type() const { return "multipart/byteranges; boundary=" + boundary_; }
  const std::string& boundary() const noexcept { return boundary_; }

 private:
  std::vector<ByteRange> ranges_;
  std::uint64_t size_;
  std::string part_type_;
  std::string boundary_;
  std::string trailer_;
  std::uint64_t total_bytes_ = 0;
};

}  // namespace oxbow::registry_api

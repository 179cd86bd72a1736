#include "registry-api/multipart.h"

#include <fmt/format.h>

#include "registry-api/range.h"

namespace oxbow::registry_api {
namespace {

/// splitmix64's finaliser: spreads the nonce over a second word, so that the boundary has 32 digits of it.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

MultipartLayout::MultipartLayout(std::vector<ByteRange> ranges, std::uint64_t size, std::string part_type,
                                 std::uint64_t nonce)
    : ranges_(std::move(ranges)),
      size_(size),
      part_type_(std::move(part_type)),
      boundary_(fmt::format("oxbow{:016x}{:016x}", nonce, mix(nonce))),
      trailer_("\r\n--" + boundary_ + "--\r\n") {
  for (std::size_t part = 0; part < parts(); ++part) total_bytes_ += part_header(part).size() + ranges_[part].size();
  total_bytes_ += trailer_.size();
}

std::string MultipartLayout::part_header(std::size_t part) const {
  return fmt::format("{}--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n", part == 0 ? "" : "\r\n", boundary_,
                     part_type_, content_range(ranges_.at(part), size_));
}

}  // namespace oxbow::registry_api
